from __future__ import annotations

import grpc
import pytest
from batchwire import v1
from batchwire_client import errors
from batchwire_client._transport.errors import CODES, REASONS, UNANSWERED, client_error, reason_name
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2


def failure(
    code: grpc.StatusCode,
    message: str = "message",
    reason: str = "",
    domain: str = "batchwire.dev",
    detail_code: int | None = None,
) -> grpc.RpcError:
    status = status_pb2.Status(code=code.value[0] if detail_code is None else detail_code, message=message)
    packed = AnyMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata={"param": "endpoint"}))
    status.details.append(packed)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, trailing_metadata=trailing, details=message)


@pytest.mark.parametrize("value", [value for value in v1.ErrorReason.values() if value])
def test_each_reason_maps_to_its_exception(value: v1.ErrorReason.ValueType) -> None:
    error = client_error(failure(grpc.StatusCode.UNKNOWN, reason=reason_name(value)))
    assert type(error) is REASONS[reason_name(value)]
    assert isinstance(error, errors.RequestError)
    assert (error.reason, error.param, str(error)) == (reason_name(value), "endpoint", "message")


def test_the_table_has_exactly_the_reasons_of_the_protocol() -> None:
    assert set(REASONS) == {reason_name(value) for value in v1.ErrorReason.values() if value}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_code_with_an_unknown_reason_maps_to_its_exception(code: grpc.StatusCode) -> None:
    error = client_error(failure(code, reason="NEWER_THAN_THIS_LIBRARY"))
    assert type(error) is UNANSWERED.get(code, CODES.get(code, errors.ServerError))
    if isinstance(error, errors.RequestError):
        assert (error.code, error.reason) == (code, "NEWER_THAN_THIS_LIBRARY")


def test_an_error_without_details_has_no_reason() -> None:
    error = client_error(grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, trailing_metadata=grpc.aio.Metadata()))
    assert isinstance(error, errors.NotFound)
    assert (error.reason, error.param, str(error)) == ("", None, "NOT_FOUND")


@pytest.mark.parametrize(("domain", "detail_code"), [("googleapis.com", None), ("batchwire.dev", 13)])
def test_details_of_another_domain_or_status_are_ignored(domain: str, detail_code: int | None) -> None:
    error = client_error(failure(grpc.StatusCode.NOT_FOUND, reason="X", domain=domain, detail_code=detail_code))
    assert isinstance(error, errors.NotFound)
    assert error.reason == ""


def test_a_reset_stream_is_server_unavailable() -> None:
    error = client_error(failure(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"))
    assert isinstance(error, errors.ServerUnavailable)


def test_errors_extend_the_builtin_exceptions() -> None:
    assert issubclass(errors.ServerUnavailable, ConnectionError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
