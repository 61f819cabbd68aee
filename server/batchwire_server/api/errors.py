"""The table from the reasons of the core's errors to gRPC codes, and the details of a status."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from batchwire_server.core.errors import BatchwireError, Reason

DOMAIN = "batchwire.dev"
"""`ErrorInfo.domain` of all errors of this API."""

DETAILS_KEY = "grpc-status-details-bin"
"""Key of the trailing metadata in which gRPC expects the `google.rpc.Status` of an error."""

COMPONENT_KEY = "batchwire-component"
"""Key of the trailing metadata that names the component that an UNAVAILABLE is about."""

CODES: dict[Reason, grpc.StatusCode] = {
    Reason.MISSING_REQUIRED_PARAMETER: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_VALUE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ABOVE_MAX_LENGTH: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_FILE_FORMAT: grpc.StatusCode.INVALID_ARGUMENT,
    # Not RESOURCE_EXHAUSTED, since clients retry that.
    Reason.FILE_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CONTENT_MISMATCH: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.FILE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.BATCH_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.UPLOAD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.MODEL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.BATCH_NOT_CANCELLABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.UPLOAD_NOT_PENDING: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.RANGE_NOT_SATISFIABLE: grpc.StatusCode.OUT_OF_RANGE,
    Reason.RESULTS_NOT_STREAMABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.IDEMPOTENCY_KEY_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.RATE_LIMIT_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.WEBHOOK_ENDPOINT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.WEBHOOK_UNREACHABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.BATCH_NOT_RETRYABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.MISSING_API_KEY: grpc.StatusCode.UNAUTHENTICATED,
    Reason.INVALID_API_KEY: grpc.StatusCode.UNAUTHENTICATED,
}


def status_details(error: BatchwireError) -> bytes:
    """Return the serialized `google.rpc.Status` of an error, for the trailing metadata."""
    info = Any()
    info.Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.details))
    status = Status(code=CODES[error.reason].value[0], message=error.message, details=[info])
    if wait := error.details.get("retry_after"):
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=int(wait))))
    return bytes(status.SerializeToString())
