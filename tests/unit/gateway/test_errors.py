"""Every row of the error tables."""

from __future__ import annotations

import grpc
import pytest
from batchwire import v1
from batchwire_server.api import errors as api_errors
from batchwire_server.gateway.dialects import OPENAI
from batchwire_server.gateway.errors import (
    BY_CODE,
    BY_REASON,
    COMPONENT_KEY,
    ERROR_DOMAIN,
    STATUS_DETAILS_KEY,
    ApiError,
    from_rpc,
    refusal,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status


def failed(
    code: grpc.StatusCode, reason: str = "", metadata: dict[str, str] | None = None, domain: str = "batchwire.dev"
) -> grpc.aio.AioRpcError:
    details = AnyMessage()
    details.Pack(ErrorInfo(reason=reason, domain=domain, metadata=metadata or {}))
    status = Status(code=code.value[0], message="Message.", details=[details])
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, "Message.")


@pytest.mark.parametrize("reason", v1.ErrorReason.values())
def test_every_reason_has_a_row(reason: v1.ErrorReason.ValueType) -> None:
    name = v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    error = from_rpc(failed(grpc.StatusCode.INVALID_ARGUMENT, name, {"param": "field"}), "req_1")
    assert (error.status, error.code) == (BY_REASON[reason].status, BY_REASON[reason].code)
    assert 400 <= error.status < 500
    assert (error.message, error.param, error.type) == ("Message.", "field", "invalid_request_error")
    body = OPENAI.render_error(error)["error"]
    assert set(body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_has_a_row(code: grpc.StatusCode) -> None:
    error = from_rpc(failed(code), "req_1")
    assert (error.status, error.type) == (BY_CODE[code].status, BY_CODE[code].type)
    assert (error.status >= 500) == (error.type == "server_error")
    assert (error.status >= 500) == ("req_1" in error.message)
    assert (error.status < 500) == (error.message == "Message.")


def test_only_a_lost_race_may_be_retried_after_409() -> None:
    forbidding = {"x-should-retry": "false"}
    assert all(row.headers == forbidding for row in BY_REASON.values() if row.status == 409)
    conflicts = {code for code, row in BY_CODE.items() if row.status == 409 and row.headers != forbidding}
    assert conflicts == {grpc.StatusCode.ABORTED}


@pytest.mark.parametrize(
    "error",
    [
        failed(grpc.StatusCode.NOT_FOUND, "OF_A_NEWER_API"),
        failed(grpc.StatusCode.NOT_FOUND, "BATCH_NOT_CANCELLABLE", domain="elsewhere"),
        grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), "Message."),
        grpc.aio.AioRpcError(
            grpc.StatusCode.NOT_FOUND,
            grpc.aio.Metadata(),
            grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff")),
            "Message.",
        ),
    ],
)
def test_code_decides_without_a_known_reason(error: grpc.aio.AioRpcError) -> None:
    found = from_rpc(error, "req_1")
    assert (found.status, found.code, found.message) == (404, None, "Message.")


def test_headers_are_filled_from_metadata_or_left_out() -> None:
    beyond = from_rpc(failed(grpc.StatusCode.OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE", {"bytes": "42"}), "")
    assert beyond.headers == {"content-range": "bytes */42"}
    assert from_rpc(failed(grpc.StatusCode.OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE"), "").headers == {}
    assert from_rpc(failed(grpc.StatusCode.RESOURCE_EXHAUSTED), "").headers == {}


def test_unknown_purpose_has_no_code() -> None:
    refused = from_rpc(
        failed(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_VALUE", metadata={"param": "purpose"}), "r"
    )
    other = from_rpc(failed(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_VALUE", metadata={"param": "limit"}), "r")
    assert (refused.status, refused.param, refused.code) == (400, "purpose", None)
    assert (other.param, other.code) == ("limit", "invalid_value")


def test_refusal_renders_like_an_error_of_the_api() -> None:
    error = refusal(v1.ERROR_REASON_INVALID_VALUE, "No.", param="limit")
    assert isinstance(error, ApiError)
    assert OPENAI.render_error(error) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "limit", "code": "invalid_value"}
    }


def test_an_unavailable_component_is_named() -> None:
    trailing = grpc.aio.Metadata((COMPONENT_KEY, "database"))
    error = from_rpc(
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing, "at db:5432"), "r"
    )
    assert error.status == 503
    assert error.message.startswith("The server's database cannot be used just now.")
    assert "db:5432" not in error.message
    assert from_rpc(failed(grpc.StatusCode.UNAVAILABLE), "r").message.startswith("The api cannot be reached")


def test_error_domain_and_metadata_key_are_those_of_the_server() -> None:
    assert (ERROR_DOMAIN, STATUS_DETAILS_KEY) == (api_errors.DOMAIN, api_errors.DETAILS_KEY)
    assert COMPONENT_KEY == api_errors.COMPONENT_KEY
