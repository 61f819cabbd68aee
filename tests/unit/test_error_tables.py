"""Every table that pairs the core's words with the protocol's is walked whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc
import pytest
from batchwire import v1
from batchwire_server.api.convert import BATCH_STATUSES, UPLOAD_STATUSES
from batchwire_server.api.errors import CODES, DOMAIN, status_details
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.lifecycle import STAMPS, BatchStatus
from batchwire_server.core.records import UploadStatus
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

PROTO = Path(__file__).parents[2] / "proto" / "batchwire" / "v1"
VALUE = re.compile(r"((?: *//[^\n]*\n)+) *ERROR_REASON_(\w+) = (\d+);")


def documented() -> dict[str, str]:
    """Returns the comment of each reason in the proto."""
    text = (PROTO / "error_reason.proto").read_text()
    return {name: re.sub(r"(?m)^ *// ?", "", comment) for comment, name, _ in VALUE.findall(text)}


def names_of(enum: dict[str, int], prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in enum} - {"UNSPECIFIED"}


def test_the_core_and_the_protocol_know_the_same_reasons() -> None:
    assert {reason.value for reason in Reason} == names_of(dict(v1.ErrorReason.items()), "ERROR_REASON_")


def test_every_reason_has_a_grpc_code_and_no_code_is_for_anything_else() -> None:
    assert set(CODES) == set(Reason)


def test_no_code_but_one_is_retried_by_clients_or_taken_for_a_fault_of_the_server() -> None:
    for reason, code in CODES.items():
        assert reason is Reason.RATE_LIMIT_EXCEEDED or code not in {
            grpc.StatusCode.OK,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNKNOWN,
        }


@pytest.mark.parametrize("reason", Reason)
def test_each_reasons_comment_names_its_code_and_gives_an_example(reason: Reason) -> None:
    comment = documented()[reason]
    assert f"{CODES[reason].name}." in comment
    said = json.loads("".join(re.findall(r"^ {4}.*$", comment, re.MULTILINE)))
    assert set(said) == {"reason", "domain", "metadata"}
    assert (said["reason"], said["domain"]) == (reason.value, DOMAIN)
    assert all(isinstance(value, str) for value in said["metadata"].values())


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_travels_with_its_message_and_its_details(reason: Reason) -> None:
    status = Status.FromString(status_details(BatchwireError(reason, "because ü", param="x")))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, DOMAIN, {"param": "x"})
    assert (status.code, status.message) == (CODES[reason].value[0], "because ü")


def test_every_batch_status_has_its_value_in_the_protocol_and_vice_versa() -> None:
    assert set(BATCH_STATUSES) == set(BatchStatus)
    assert {status.name for status in BatchStatus} == names_of(dict(v1.BatchStatus.items()), "BATCH_STATUS_")
    for status, value in BATCH_STATUSES.items():
        assert v1.BatchStatus.Name(value) == f"BATCH_STATUS_{status.name}"


def test_every_upload_status_has_its_value_in_the_protocol_and_vice_versa() -> None:
    assert set(UPLOAD_STATUSES) == set(UploadStatus)
    assert {status.name for status in UploadStatus} == names_of(dict(v1.UploadStatus.items()), "UPLOAD_STATUS_")


def test_every_state_that_has_a_time_shows_it_in_the_protocol() -> None:
    assert set(STAMPS.values()) <= set(v1.Batch.DESCRIPTOR.fields_by_name)
