"""Every refusal and its message: of uploads, of creates, and of inputs at validation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from batchwire_client import Client, RateLimited

from tests.e2e.conftest import Start
from tests.support.invariants import ENDS
from tests.support.lines import chat_line, jsonl
from tests.support.server import Server, wait_until

CHAT = "/v1/chat/completions"
WANTED = {"input_file_id": "file-x", "endpoint": CHAT, "completion_window": "24h"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that requires one model per batch, as OpenAI does."""
    one_model = {
        "BATCHWIRE_LIMITS__MIXED_MODELS": "false",
        "BATCHWIRE_LIMITS__MAX_LINES": "200",
        "BATCHWIRE_LIMITS__MAX_FILE_BYTES": str(1 << 19),
    }
    with Server(tmp_path_factory.mktemp("refusals"), environment=one_model) as server:
        yield f"{server.url}/v1"


CREATE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "bad endpoint": (
        {"endpoint": "/v1/invalid/endpoint"},
        ("Invalid value: '/v1/invalid/endpoint'. Supported values are: '/v1/chat/completions', '/v1/completions', "
        "'/v1/embeddings', '/v1/moderations', and '/v1/responses'."),
        "endpoint",
        "invalid_value",
    ),
    **{
        f"missing {field}": ({field: None}, f"Missing required parameter: '{field}'.", field, "missing_required_parameter")
        for field in WANTED
    },
    "metadata value not a string": (
        {"metadata": {"tags": ["a"]}},
        "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
        "metadata.tags",
        "invalid_type",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("more", "message", "param", "code"), CREATE.values(), ids=CREATE)
def test_an_invalid_create_is_refused(url: str, more: dict[str, Any], message: str, param: str, code: str) -> None:
    answer = requests.post(f"{url}/batches", json=WANTED | more, timeout=60)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    }


@pytest.mark.parametrize("window", ["never", "24", "15d", "-1h", "1.5h"])
def test_an_invalid_completion_window_is_refused(url: str, window: str) -> None:
    answer = requests.post(f"{url}/batches", json=WANTED | {"completion_window": window}, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "completion_window", "invalid_value")
    assert error["message"].startswith(f"Invalid value: '{window}'.")
    assert "'24h'" in error["message"]


def test_a_body_that_is_not_json_is_refused(url: str) -> None:
    answer = requests.post(f"{url}/batches", data=b"{", headers={"content-type": "application/json"}, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, None, None)
    assert error["message"].startswith("We could not parse the JSON body of your request. (HINT: ")


UPLOAD: dict[str, tuple[dict[str, Any], int, str, str | None, str | None]] = {
    "wrong extension": (
        {"files": {"file": ("in.csv", b"{}")}, "data": {"purpose": "batch"}},
        400, "Invalid file format for Batch API. Must be .jsonl", None, None,
    ),
    "first line no JSON": (
        {"files": {"file": ("in.jsonl", b"a,b\n{}")}, "data": {"purpose": "batch"}},
        400, "Invalid file format for Batch API. Must be .jsonl", None, None,
    ),
    "bad purpose": (
        {"files": {"file": ("in.jsonl", b"{}")}, "data": {"purpose": "X"}},
        400, "'X' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - 'purpose'", "purpose", None,
    ),
    "missing file": (
        {"files": {"purpose": (None, "batch")}},
        400, "'file' is a required property", "file", "missing_required_parameter",
    ),
    "missing purpose": (
        {"files": {"file": ("in.jsonl", b"{}")}},
        400, "'purpose' is a required property", "purpose", "missing_required_parameter",
    ),
    "too large": (
        {"files": {"file": ("in.jsonl", b"{}" * (1 << 19))}, "data": {"purpose": "batch"}},
        413, "File is too large.", None, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("form", "status", "message", "param", "code"), UPLOAD.values(), ids=UPLOAD)
def test_an_invalid_upload_is_refused(
    url: str, form: dict[str, Any], status: int, message: str, param: str | None, code: str | None
) -> None:
    answer = requests.post(f"{url}/files", timeout=60, **form)
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize("purpose", ["assistants", "batch", "evals", "fine-tune", "user_data", "vision"])
def test_every_purpose_is_accepted_and_only_batch_files_expire_by_default(url: str, purpose: str) -> None:
    form: dict[str, Any] = {"data": {"purpose": purpose}, "files": {"file": ("in.jsonl", b"{}")}}
    file = requests.post(f"{url}/files", timeout=60, **form).json()
    assert file["purpose"] == purpose
    assert file["expires_at"] == (file["created_at"] + 30 * 86400 if purpose == "batch" else None)
    wanted = WANTED | {"input_file_id": file["id"]}
    assert requests.post(f"{url}/batches", json=wanted, timeout=60).status_code == (200 if purpose == "batch" else 400)


def good(custom_id: str = "a", **more: Any) -> dict[str, Any]:
    return chat_line(custom_id) | more


def body(**more: Any) -> dict[str, Any]:
    """Return a body without the fields that are None."""
    whole: dict[str, Any] = {"model": "echo", "messages": [], **more}
    return {key: value for key, value in whole.items() if value is not None}


def lacking(field: str) -> dict[str, Any]:
    return {key: value for key, value in good().items() if key != field}


def missing(field: str) -> tuple[list[Any], tuple[str, str, str, int]]:
    return [lacking(field)], ("missing_required_parameter", f"Missing required parameter: '{field}'.", field, 1)


READ: dict[str, tuple[list[Any], tuple[str, str, str | None, int | None]]] = {
    "invalid_json_line": (
        [good(), "{"], ("invalid_json_line", "This line is not parseable as valid JSON.", None, 2),
    ),
    "missing custom_id": missing("custom_id"),
    "missing method": missing("method"),
    "missing url": missing("url"),
    "missing body": missing("body"),
    "duplicate_custom_id": (
        [good("X"), good("b"), good("X")],
        ("duplicate_custom_id", ("The custom_id 'X' for this request is a duplicate of another request. "
         "The custom_id parameter must be unique for each request in a batch."), "custom_id", 3),
    ),
    "mismatched_model": (
        [good(), good("b", body=body(model="X"))],
        ("mismatched_model", ("The model 'X' for this request does not match the rest of the batch. "
         "Each batch must contain requests for a single model."), "body.model", 2),
    ),
    "invalid_url": (
        [good(url="/chat/completions")],
        ("invalid_url", "The URL provided for this request does not match the batch endpoint.", "url", 1),
    ),
    "url of another endpoint": (
        [good(url="/v1/embeddings")],
        ("invalid_url", "The URL provided for this request does not match the batch endpoint.", "url", 1),
    ),
    "model_not_found": (
        [good(body=body(model="X"))],
        ("model_not_found", "The provided model 'X' is not supported by the Batch API.", "body.model", 1),
    ),
    "no model": ([good(body=body(model=None))], ("invalid_request", "Model parameter is required.", "body.model", 1)),
    "no messages": (
        [good(body=body(messages=None))], ("invalid_request", "Messages parameter is required.", "body.messages", 1),
    ),
    "streaming_unsupported": (
        [good(), good("b", body=body(stream=True)), good("c")],
        ("streaming_unsupported", "Chat Completions: Streaming is not supported in the Batch API.", "body.stream", 2),
    ),
    "model with a NUL": (
        [good(body=body(model="a\0b"))],
        ("invalid_value", "Invalid 'body.model': it has a NUL character.", "body.model", 1),
    ),
    "custom_id that is no string": (
        [good() | {"custom_id": 5}],
        ("invalid_type", "Invalid type for 'custom_id': expected a string, but got an integer instead.", "custom_id", 1),
    ),
}  # fmt: skip


def failed(url: str, content: bytes) -> list[dict[str, Any]]:
    """Run an input that fails. Return the errors of the batch."""
    file = requests.post(
        f"{url}/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", content)}, timeout=60
    ).json()
    batch = requests.post(f"{url}/batches", json=WANTED | {"input_file_id": file["id"]}, timeout=60).json()
    found: list[dict[str, Any]] = [batch]

    def ended() -> bool:
        found[0] = requests.get(f"{url}/batches/{batch['id']}", timeout=60).json()
        return found[0]["status"] in ENDS

    wait_until(ended)
    assert found[0]["status"] == "failed", found[0]
    assert found[0]["failed_at"] >= found[0]["created_at"]
    assert (found[0]["output_file_id"], found[0]["error_file_id"]) == (None, None)
    assert found[0]["errors"]["object"] == "list"
    errors: list[dict[str, Any]] = found[0]["errors"]["data"]
    return errors


def written(lines: list[Any]) -> bytes:
    return b"".join(line.encode() + b"\n" if isinstance(line, str) else jsonl([line]) for line in lines)


@pytest.mark.parametrize(("lines", "error"), READ.values(), ids=READ)
def test_an_invalid_input_fails_its_batch(
    url: str, lines: list[Any], error: tuple[str, str, str | None, int | None]
) -> None:
    code, message, param, number = error
    assert failed(url, written(lines)) == [{"code": code, "message": message, "param": param, "line": number}]


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n"])
def test_an_input_without_requests_is_refused_at_upload(url: str, content: bytes) -> None:
    # No batch can therefore get `empty_file`, which `tests/unit/core/test_validation.py` tests.
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", content)}}
    answer = requests.post(f"{url}/files", timeout=60, **form)
    message = "Invalid file format for Batch API. Must be .jsonl"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_an_input_with_too_many_lines_is_reported(url: str) -> None:
    (error,) = failed(url, jsonl(good(str(number)) for number in range(201)))
    assert (error["code"], error["line"]) == ("too_many_tasks", None)


def test_invalid_lines_are_reported_up_to_a_hundred(url: str) -> None:
    errors = failed(url, jsonl(good(str(number), method="GET") for number in range(150)))
    assert [error["line"] for error in errors] == [*range(1, 101), None]
    assert "150" in errors[-1]["message"]


def test_a_tenant_over_its_hourly_limit_gets_retry_after(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__BATCHES_PER_HOUR="2")
    for _ in range(2):
        assert requests.post(f"{server.url}/v1/batches", json=WANTED, timeout=60).status_code == 200
    answer = requests.post(f"{server.url}/v1/batches", json=WANTED, timeout=60)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    error = json.loads(answer.text)["error"]
    assert (error["type"], error["param"], error["code"]) == ("requests", None, "rate_limit_exceeded")
    with Client(server.grpc) as client, pytest.raises(RateLimited) as refused:
        client.batches.create("file-x")
    assert refused.value.reason == "RATE_LIMIT_EXCEEDED"


LISTS: dict[str, tuple[str, str, str, str]] = {
    "no files": ("/files?limit=0", "Invalid 'limit': expected an integer from 1 to 10000, but got 0 instead.", "limit", "invalid_value"),
    "too many files": ("/files?limit=10001", "Invalid 'limit': expected an integer from 1 to 10000, but got 10001 instead.", "limit", "invalid_value"),
    "no batches": ("/batches?limit=0", "Invalid 'limit': expected an integer from 1 to 100, but got 0 instead.", "limit", "invalid_value"),
    "too many batches": ("/batches?limit=101", "Invalid 'limit': expected an integer from 1 to 100, but got 101 instead.", "limit", "invalid_value"),
    "fewer than none": ("/batches?limit=-1", "Invalid 'limit': expected an integer from 1 to 100, but got -1 instead.", "limit", "invalid_value"),
    "no number": ("/files?limit=ten", "Invalid type for 'limit': expected an integer, but got a string instead.", "limit", "invalid_type"),
    "no number that fits": ("/files?limit=99999999999", "Invalid value for 'limit': 99999999999 is out of range.", "limit", "invalid_value"),
    "another order": ("/files?order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", "order", "invalid_value"),
    "files after nothing": ("/files?after=file-x", "Invalid 'after': there is no object with id 'file-x'.", "after", "invalid_value"),
    "batches after nothing": ("/batches?after=b%20%2F", "Invalid 'after': there is no object with id 'b /'.", "after", "invalid_value"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "message", "param", "code"), LISTS.values(), ids=LISTS)
def test_an_invalid_page_request_is_refused(url: str, path: str, message: str, param: str, code: str) -> None:
    answer = requests.get(f"{url}{path}", timeout=60)
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


# The places for text of the caller, with a text that a database cannot store.
NAMED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "file": ("GET", "/files/%00", {}),
    "content": ("GET", "/files/a%00b/content", {}),
    "file to delete": ("DELETE", "/files/%00", {}),
    "files after": ("GET", "/files?after=%00", {}),
    "files of a purpose": ("GET", "/files?purpose=%00", {}),
    "batch": ("GET", "/batches/%00", {}),
    "batch to follow": ("GET", "/batches/%00/events", {}),
    "batch to cancel": ("POST", "/batches/%00/cancel", {}),
    "batches after": ("GET", "/batches?after=%00", {}),
    "input": ("POST", "/batches", {"json": WANTED | {"input_file_id": "a\0"}}),
    "metadata": ("POST", "/batches", {"json": WANTED | {"metadata": {"a": "\0"}}}),
    "model": ("POST", "/batches", {"json": WANTED | {"replace": {"model": "a\0"}}}),
    "idempotency key": ("POST", "/batches", {"json": WANTED | {"idempotency_key": "a\0"}}),
    "part": ("POST", "/uploads/%00/parts", {"files": {"data": b"x"}}),
    "parts": ("POST", "/uploads/upload_x/complete", {"json": {"part_ids": ["\0"]}}),
    "webhook": ("POST", "/webhook_endpoints", {"json": {"name": "a\0", "url": "https://example.com/", "event_types": ["batch.failed"]}}),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "path", "more"), NAMED.values(), ids=NAMED)
def test_text_that_a_database_cannot_store_is_refused(url: str, verb: str, path: str, more: dict[str, Any]) -> None:
    answer = requests.request(verb, f"{url}{path}", timeout=60, **more)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith("it has a NUL character.")


@pytest.mark.parametrize(
    "header", ["authorization", "api-key", "x-api-key", "idempotency-key", "x-request-id", "x-else"]
)
@pytest.mark.parametrize("length", [5_000, 20_000, 60_000])
def test_a_long_header_is_not_resource_exhausted(url: str, header: str, length: int) -> None:
    answer = requests.post(f"{url}/batches", json=WANTED, headers={header: "k" * length}, timeout=60)
    assert answer.status_code == (400 if header == "idempotency-key" else 200)
