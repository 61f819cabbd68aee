"""Maps errors of gRPC to the exceptions of this library, by tables."""

from __future__ import annotations

from typing import cast

import grpc
from batchwire import v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from batchwire_client import errors

DOMAIN = "batchwire.dev"
"""`ErrorInfo.domain` of all errors of the server."""

REASONS: dict[str, type[errors.RequestError]] = {
    "MISSING_REQUIRED_PARAMETER": errors.InvalidRequest,
    "INVALID_VALUE": errors.InvalidRequest,
    "INVALID_TYPE": errors.InvalidRequest,
    "ABOVE_MAX_LENGTH": errors.InvalidRequest,
    "INVALID_FILE_FORMAT": errors.InvalidRequest,
    "FILE_TOO_LARGE": errors.InvalidRequest,
    "CONTENT_MISMATCH": errors.InvalidRequest,
    "FILE_NOT_FOUND": errors.NotFound,
    "BATCH_NOT_FOUND": errors.NotFound,
    "UPLOAD_NOT_FOUND": errors.NotFound,
    "MODEL_NOT_FOUND": errors.NotFound,
    "BATCH_NOT_CANCELLABLE": errors.Conflict,
    "UPLOAD_NOT_PENDING": errors.Conflict,
    "RANGE_NOT_SATISFIABLE": errors.InvalidRequest,
    "RESULTS_NOT_STREAMABLE": errors.Conflict,
    "IDEMPOTENCY_KEY_REUSED": errors.Conflict,
    "RATE_LIMIT_EXCEEDED": errors.RateLimited,
    "WEBHOOK_ENDPOINT_NOT_FOUND": errors.NotFound,
    "WEBHOOK_UNREACHABLE": errors.Conflict,
    "BATCH_NOT_RETRYABLE": errors.Conflict,
    "MISSING_API_KEY": errors.Unauthenticated,
    "INVALID_API_KEY": errors.Unauthenticated,
}

CODES: dict[grpc.StatusCode, type[errors.RequestError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.RateLimited,
}
"""For errors without a reason, or with a newer one. Any other code becomes a ServerError."""

UNANSWERED: dict[grpc.StatusCode, type[errors.BatchwireError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailable,
    grpc.StatusCode.CANCELLED: errors.ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
}
"""Codes of calls without a response. A server that shuts down ends its calls with CANCELLED."""


def reason_name(reason: v1.ErrorReason.ValueType) -> str:
    """Return a reason as it stands in ErrorInfo: its name without the prefix of the enum."""
    return v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def client_error(error: grpc.RpcError) -> errors.BatchwireError:
    """Return the exception of this library for an error of gRPC."""
    code, message = error.code(), error.details() or error.code().name
    reason, metadata = _error_info(error)
    if code in UNANSWERED:
        return UNANSWERED[code](message)
    # A stream that a proxy resets ends with INTERNAL, as a failure of the server does. Only the
    # text tells them apart.
    if code is grpc.StatusCode.INTERNAL and not reason and "RST_STREAM" in message:
        return errors.ServerUnavailable(message)
    kind = REASONS.get(reason) or CODES.get(code, errors.ServerError)
    return kind(message, code=code, reason=reason, metadata=metadata)


def _error_info(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """Return reason and metadata of the server's ErrorInfo, both empty if the error has none."""
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))  # an RpcError of a call is the call
    except ValueError:  # the details contradict the status, so a proxy has replaced it
        return "", {}
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info.reason, dict(info.metadata)
    return "", {}
