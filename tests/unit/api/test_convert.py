"""Conversion between records and messages: every field of a record reaches its message."""

from __future__ import annotations

from dataclasses import fields

import pytest
from batchwire import v1
from batchwire_server.api.convert import (
    BATCH_STATUSES,
    UPLOAD_STATUSES,
    batch_message,
    endpoint_message,
    endpoint_with_secret,
    file_message,
    file_spec,
    line_rules,
    page_fields,
    page_limit,
    timestamp,
    upload_message,
)
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import STAMPS, BatchStatus
from batchwire_server.core.records import (
    Batch,
    File,
    InputError,
    LineRules,
    Upload,
    UploadStatus,
    Usage,
    WebhookEndpoint,
)
from batchwire_server.service.files import FileSpec
from batchwire_server.service.uploads import UploadState

FILE = File("file-1", "t", "in.jsonl", "batch", 7, "ab", 2, "files/file-1", created_at=1500, expires_at=2000)
ENDPOINT = WebhookEndpoint("wh-1", "t", "n", "https://x", ("batch.completed",), "whsec_abcdefgh", created_at=1)


def names_of(enum: dict[str, int], prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in enum} - {"UNSPECIFIED"}


def test_core_and_protocol_have_the_same_batch_statuses() -> None:
    assert set(BATCH_STATUSES) == set(BatchStatus)
    assert {status.name for status in BatchStatus} == names_of(dict(v1.BatchStatus.items()), "BATCH_STATUS_")
    for status, value in BATCH_STATUSES.items():
        assert v1.BatchStatus.Name(value) == f"BATCH_STATUS_{status.name}"


def test_core_and_protocol_have_the_same_upload_statuses() -> None:
    assert set(UPLOAD_STATUSES) == set(UploadStatus)
    assert {status.name for status in UploadStatus} == names_of(dict(v1.UploadStatus.items()), "UPLOAD_STATUS_")


def test_every_timestamp_of_a_state_is_a_field_of_the_protocol() -> None:
    assert set(STAMPS.values()) <= set(v1.Batch.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("milliseconds", "seconds", "nanos"), [(0, 0, 0), (1, 0, 1_000_000), (1999, 1, 999_000_000), (2000, 2, 0)]
)
def test_milliseconds_become_seconds_and_nanoseconds(milliseconds: int, seconds: int, nanos: int) -> None:
    message = timestamp(milliseconds)
    assert message is not None
    assert (message.seconds, message.nanos) == (seconds, nanos)


def test_an_instant_that_is_not_set_stays_unset() -> None:
    assert timestamp(None) is None
    assert not batch_message(a_batch(completed_at=None)).HasField("completed_at")


def a_batch(**values: object) -> Batch:
    fixed = {"endpoint": "/v1/embeddings", "input_file_id": "file-1", "input_key": "k", "input_bytes": 1}
    window = {"completion_window": "24h", "window_seconds": 86400, "output_lifetime": None}
    return Batch(id="batch-1", tenant="t", **{**fixed, **window, **values})  # type: ignore[arg-type]  # a test's fields


def test_every_field_of_a_full_batch_is_set_in_its_message() -> None:
    times = {field.name: 1000 for field in fields(Batch) if field.name.endswith("_at")}
    message = batch_message(
        a_batch(
            **times,
            model="m",
            errors=(InputError("code", "message", "param", 3),),
            output_file_id="file-2",
            error_file_id="file-3",
            total=3,
            completed=2,
            failed=1,
            usage=Usage(1, 2, 3, 4, 5),
            metadata={"a": "b"},
            output_lifetime=3600,
            replace_model="n",
            input_file_name="in.jsonl",
            retry_of="batch-0",
        )
    )
    assert {field.name for field, _ in message.ListFields()} == set(v1.Batch.DESCRIPTOR.fields_by_name) - {"object"}
    assert message.errors[0] == v1.BatchError(code="code", message="message", param="param", line=3)
    assert message.usage.input_tokens_details.cached_tokens == 2
    assert message.usage.output_tokens_details.reasoning_tokens == 4


def test_a_completed_upload_has_its_file() -> None:
    upload = Upload("upload-1", "t", "in.jsonl", "batch", 7, None, UploadStatus.COMPLETED, "file-1")
    assert upload_message(UploadState(upload, FILE)).file == file_message(FILE)
    assert not upload_message(UploadState(upload)).HasField("file")


def test_only_a_new_secret_is_shown() -> None:
    assert "abcd" not in str(endpoint_message(ENDPOINT))
    assert endpoint_message(ENDPOINT).signing_secret_hint == "whsec_…efgh"
    assert endpoint_with_secret(ENDPOINT).signing_secret == ENDPOINT.secret


def test_undeclared_fields_of_an_upload_are_none() -> None:
    assert file_spec(v1.UploadFileSpec(filename="a")) == FileSpec("a")
    policy = v1.ExpiresAfter(anchor="created_at", seconds=3600)
    declared = v1.UploadFileSpec(filename="a", purpose="batch", bytes=0, sha256="ab", expires_after=policy)
    assert file_spec(declared) == FileSpec("a", "batch", 3600, 0, "ab")


@pytest.mark.parametrize(
    ("anchor", "seconds", "param"),
    [("last_active_at", 3600, "anchor"), ("created_at", 3599, "seconds"), ("created_at", 2_592_001, "seconds")],
)
def test_an_expiry_policy_outside_the_limits_is_refused(anchor: str, seconds: int, param: str) -> None:
    policy = v1.ExpiresAfter(anchor=anchor, seconds=seconds)
    with pytest.raises(BatchwireError) as refused:
        file_spec(v1.UploadFileSpec(expires_after=policy))
    assert refused.value.details["param"] == f"expires_after.{param}"


@pytest.mark.parametrize("name", [field.name for field in fields(LineRules)])
def test_each_line_rule_is_read(name: str) -> None:
    assert line_rules(v1.LineRules(**{name: True})) == LineRules(**{name: True})


def test_a_page_names_its_first_and_its_last_item() -> None:
    page = page_fields([v1.File(id="a"), v1.File(id="b"), v1.File(id="c")], has_more=True)
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("a", "c", True)
    assert page_fields([], has_more=False) == {"data": [], "has_more": False}


def test_a_limit_of_zero_differs_from_no_limit() -> None:
    assert page_limit(v1.ListFilesRequest()) is None
    assert page_limit(v1.ListFilesRequest(limit=0)) == 0
