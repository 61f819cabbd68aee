"""Error reasons: core, protocol and the table of gRPC codes have the same ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc
import pytest
from batchwire import v1
from batchwire_server.api.errors import CODES, DOMAIN, status_details
from batchwire_server.core.errors import BatchwireError, Reason, too_many_batches
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

PROTO = Path(__file__).parents[3] / "proto" / "batchwire" / "v1"
VALUE = re.compile(r"((?: *//[^\n]*\n)+) *ERROR_REASON_(\w+) = (\d+);")


def documented() -> dict[str, str]:
    """Return the comment of each reason in the proto."""
    text = (PROTO / "error_reason.proto").read_text()
    return {name: re.sub(r"(?m)^ *// ?", "", comment) for comment, name, _ in VALUE.findall(text)}


def test_core_and_protocol_have_the_same_reasons() -> None:
    in_protocol = {name.removeprefix("ERROR_REASON_") for name in v1.ErrorReason.keys()}  # noqa: SIM118 - no dict
    assert {reason.value for reason in Reason} == in_protocol - {"UNSPECIFIED"}


def test_every_reason_has_a_grpc_code() -> None:
    assert set(CODES) == set(Reason)


def test_only_rate_limits_have_a_code_that_clients_retry_or_blame_on_the_server() -> None:
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
def test_the_comment_of_a_reason_names_its_code_and_has_an_example(reason: Reason) -> None:
    comment = documented()[reason]
    assert f"{CODES[reason].name}." in comment
    example = json.loads("".join(re.findall(r"^ {4}.*$", comment, re.MULTILINE)))
    assert set(example) == {"reason", "domain", "metadata"}
    assert (example["reason"], example["domain"]) == (reason.value, DOMAIN)
    assert all(isinstance(value, str) for value in example["metadata"].values())


@pytest.mark.parametrize("reason", Reason)
def test_status_details_carry_reason_message_and_metadata(reason: Reason) -> None:
    status = Status.FromString(status_details(BatchwireError(reason, "because ü", param="x")))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, DOMAIN, {"param": "x"})
    assert (status.code, status.message) == (CODES[reason].value[0], "because ü")


def test_retry_after_is_also_sent_as_retry_info() -> None:
    status = Status.FromString(status_details(too_many_batches(5, 7)))
    retry = RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 7
