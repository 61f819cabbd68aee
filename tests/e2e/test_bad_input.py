"""Invalid input: a clear error with OpenAI's messages, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from tests.e2e.conftest import Start
from tests.support.lines import chat_file, chat_line, jsonl
from tests.support.server import Server

ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module, in which only the test that runs writes blobs."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def upload(openai: OpenAI, content: bytes, name: str = "in.jsonl", purpose: Any = "batch") -> str:
    """Upload a file. Return its id."""
    return openai.files.create(file=(name, content), purpose=purpose).id


def failure(openai: OpenAI, content: bytes, **more: Any) -> list[tuple[str, str | None, int | None]]:
    """Run a file that fails validation. Return code, param and line of each error."""
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    batch = openai.batches.create(input_file_id=upload(openai, content), **wanted)
    while batch.status not in ENDED:
        batch = openai.batches.retrieve(batch.id)
    assert batch.status == "failed", batch
    assert batch.failed_at is not None
    assert batch.in_progress_at is None
    assert batch.output_file_id is None
    assert batch.error_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    assert batch.errors is not None
    assert batch.errors.data is not None
    return [(str(error.code), error.param, error.line) for error in batch.errors.data]


@pytest.mark.parametrize(("content", "name"), [
    (b"id,text\n1,hello\n", "in.jsonl"),
    (b"[1, 2]\n", "in.jsonl"),
    (b"", "in.jsonl"),
    (b"\n \n\t\n", "in.jsonl"),
    (b"\xff\xfe{}\n", "in.jsonl"),
    (chat_file(1), "in.csv"),
])  # fmt: skip
def test_a_file_that_is_not_jsonl_is_refused_at_upload(
    openai: OpenAI, server: Server, content: bytes, name: str
) -> None:
    before = server.blobs()
    with pytest.raises(sdk.BadRequestError, match=r"Invalid file format for Batch API\. Must be \.jsonl"):
        upload(openai, content, name)
    assert server.blobs() == before


def test_an_unknown_purpose_is_refused(openai: OpenAI) -> None:
    with pytest.raises(
        sdk.BadRequestError, match=r"'party' is not one of \['fine-tune', 'assistants', 'batch'"
    ) as refused:
        upload(openai, chat_file(1), purpose="party")
    assert refused.value.param == "purpose"


def test_a_missing_purpose_is_refused(openai: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="'purpose' is a required property"):
        openai.post("/files", cast_to=object, files={"file": ("in.jsonl", chat_file(1))}, body={})


def test_unknown_ids_are_not_found(openai: OpenAI) -> None:
    for call in (openai.files.retrieve, openai.files.content, openai.files.delete):
        with pytest.raises(sdk.NotFoundError, match="No such File object: file-none"):
            call("file-none")
    for method in (openai.batches.retrieve, openai.batches.cancel):
        with pytest.raises(sdk.NotFoundError, match="No batch found with id 'batch_none'"):
            method("batch_none")


@pytest.mark.parametrize(("field", "value", "message", "code"), [
    ("endpoint", "/v1/party", r"Invalid value: '/v1/party'\. Supported values are: '/v1/chat/completions', .* and '/v1/responses'", "invalid_value"),
    ("completion_window", "yesterday", "Invalid value: 'yesterday'", "invalid_value"),
    ("completion_window", "15d", "Invalid value: '15d'", "invalid_value"),
    ("endpoint", None, "Missing required parameter: 'endpoint'", "missing_required_parameter"),
    ("input_file_id", None, "Missing required parameter: 'input_file_id'", "missing_required_parameter"),
    ("completion_window", None, "Missing required parameter: 'completion_window'", "missing_required_parameter"),
])  # fmt: skip
def test_invalid_fields_of_a_batch_are_refused(openai: OpenAI, field: str, value: Any, message: str, code: str) -> None:
    wanted = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h", field: value}
    with pytest.raises(sdk.BadRequestError, match=message) as refused:
        openai.batches.create(**wanted)
    assert (refused.value.param, refused.value.code) == (field, code)


def test_long_values_are_invalid_arguments_not_resource_exhausted(openai: OpenAI) -> None:
    long = "x" * 20_000
    wanted: dict[str, Any] = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for field in wanted:
        with pytest.raises(sdk.BadRequestError) as refused:
            openai.batches.create(**{**wanted, field: long})
        assert refused.value.param == field
    with pytest.raises(sdk.BadRequestError, match="is not one of"):
        upload(openai, chat_file(1), purpose=long)
    for method in (openai.files.retrieve, openai.batches.retrieve):
        with pytest.raises(sdk.NotFoundError):
            method(long[:9000])


def test_metadata_must_be_strings_within_the_length_limits(openai: OpenAI) -> None:
    wanted: dict[str, Any] = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    message = r"Invalid type for 'metadata\.tags': expected a string, but got an array instead\."
    with pytest.raises(sdk.BadRequestError, match=message) as refused:
        openai.batches.create(**wanted, metadata={"tags": ["a"]})  # type: ignore[dict-item]  # bad on purpose
    assert (refused.value.param, refused.value.code) == ("metadata.tags", "invalid_type")
    for metadata in ({"k" * 65: "v"}, {"k": "v" * 513}, {str(number): "v" for number in range(17)}):
        with pytest.raises(sdk.BadRequestError, match="metadata"):
            openai.batches.create(**wanted, metadata=metadata)


def test_a_missing_input_file_fails_the_batch_not_the_call(openai: OpenAI) -> None:
    batch = openai.batches.create(input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status not in ENDED:
        batch = openai.batches.retrieve(batch.id)
    assert batch.errors is not None
    assert batch.errors.data is not None
    (error,) = batch.errors.data
    assert (error.code, error.param, error.line) == ("invalid_request", "file_id", None)
    assert error.message is not None
    assert error.message.startswith("Cannot find file file-none, or organization ")


def test_every_invalid_line_is_reported(openai: OpenAI) -> None:
    good = chat_line("good")
    lines = [
        good,
        {**good, "custom_id": None},
        {**good, "custom_id": "b", "method": None},
        {**good, "custom_id": "c", "url": None},
        {**good, "custom_id": "d", "body": None},
        {**good, "custom_id": "e", "url": "/v1/embeddings"},
        good,
        {**good, "custom_id": "f", "body": {"messages": []}},
        chat_line("g", stream=True),
        chat_line("h", model="nobody-serves-this"),
        {**good, "custom_id": 7},
    ]
    content = jsonl(lines) + b'{"custom_id": \n' + b'{"custom_id": "\xff"}\n\n' + json.dumps(chat_line("z")).encode()
    assert failure(openai, content) == [
        ("missing_required_parameter", "custom_id", 2),
        ("missing_required_parameter", "method", 3),
        ("missing_required_parameter", "url", 4),
        ("missing_required_parameter", "body", 5),
        ("invalid_url", "url", 6),
        ("duplicate_custom_id", "custom_id", 7),
        ("invalid_request", "body.model", 8),
        ("streaming_unsupported", "body.stream", 9),
        ("model_not_found", "body.model", 10),
        ("invalid_type", "custom_id", 11),
        ("invalid_json_line", None, 12),
        ("invalid_json_line", None, 13),
    ]


def test_a_hundred_errors_are_listed_and_the_others_counted(openai: OpenAI) -> None:
    found = failure(openai, chat_file(1) + b"{}\n" * 60)
    assert len(found) == 101
    assert found[-1][0] == "more_errors"


def test_a_line_of_thirty_megabytes_is_reported(openai: OpenAI) -> None:
    content = jsonl([chat_line("small"), chat_line("large", "x" * 30_000_000), chat_line("small again")])
    assert failure(openai, content) == [("invalid_request", None, 2)]


def test_a_file_over_the_size_limit_is_refused_and_leaves_no_blob(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__MAX_FILE_BYTES=str(1024 * 1024))
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        with pytest.raises(sdk.APIStatusError, match="File is too large") as refused:
            upload(client, chat_file(100_000))
        assert refused.value.status_code == 413
        assert server.blobs() == []
        assert client.files.list().data == []
        assert upload(client, chat_file(10))


def test_too_many_lines_fail_the_batch(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__MAX_LINES="10")
    with OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        assert failure(client, chat_file(11)) == [("too_many_tasks", None, None)]
