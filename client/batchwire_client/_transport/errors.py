"""Turns gRPC's errors into this library's, by two tables."""

from typing import cast

import grpc
from batchwire import v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from batchwire_client import errors

DOMAIN = "batchwire.dev"

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

# For errors without a reason, or with one that is newer than this library. What is not here is a ServerError.
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

# Nobody refused these calls: they did not get an answer. A server that shuts down ends its calls with CANCELLED.
UNANSWERED: dict[grpc.StatusCode, type[errors.BatchwireError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailable,
    grpc.StatusCode.CANCELLED: errors.ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
}


def reason_name(reason: v1.ErrorReason.ValueType) -> str:
    """The name of a reason as it travels: without the enum's prefix."""
    return v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def translated(error: grpc.RpcError) -> errors.BatchwireError:
    """This library's error for one of gRPC's."""
    code, message = error.code(), error.details() or error.code().name
    reason, metadata = _error_info(error)
    if code in UNANSWERED:
        return UNANSWERED[code](message)
    # A proxy or peer that drops a stream in the middle shows as INTERNAL; only the text tells it from a server's own failure.
    if code is grpc.StatusCode.INTERNAL and not reason and "RST_STREAM" in message:
        return errors.ServerUnavailable(message)
    kind = REASONS.get(reason) or CODES.get(code, errors.ServerError)
    return kind(message, code=code, reason=reason, metadata=metadata)


def _error_info(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """Reason and metadata of the ErrorInfo that the error carries; both empty when there is none of ours."""
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))  # the error of a call is the call
    except ValueError:  # the details contradict the status: made by something in between, so not ours
        return "", {}
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info.reason, dict(info.metadata)
    return "", {}
