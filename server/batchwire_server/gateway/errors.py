"""Map failed RPCs, and the gateway's own refusals, to HTTP errors.

`BY_REASON` maps an ErrorInfo reason to HTTP status and `code`. `BY_CODE` maps a gRPC code to
`type`, and to the status of errors without a reason. Dialects render the errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import grpc
from batchwire import v1
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

ERROR_DOMAIN = "batchwire.dev"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
COMPONENT_KEY = "batchwire-component"

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ApiError(Exception):
    """An error reply. `type`, `param` and `code` are OpenAI's; `reason` is the api's, if any."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID_REQUEST,  # noqa: A002 - the key on the wire
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        reason: v1.ErrorReason.ValueType = v1.ERROR_REASON_UNSPECIFIED,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """The HTTP error for a reason.

    Header values are templates over the ErrorInfo's metadata. A header whose metadata is missing is
    left out.
    """

    status: int
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CodeRow:
    """The HTTP error for a gRPC code without a reason.

    `message` replaces the api's, which may have details that callers should not see.
    """

    status: int
    type: str = INVALID_REQUEST
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


# OpenAI's SDKs retry every 409 without this header. A refused cancel would be refused again.
_DO_NOT_RETRY = {"x-should-retry": "false"}

BY_REASON: Mapping[v1.ErrorReason.ValueType, ReasonRow] = {
    v1.ERROR_REASON_UNSPECIFIED: ReasonRow(400),
    v1.ERROR_REASON_MISSING_REQUIRED_PARAMETER: ReasonRow(400, "missing_required_parameter"),
    v1.ERROR_REASON_INVALID_VALUE: ReasonRow(400, "invalid_value"),
    v1.ERROR_REASON_INVALID_TYPE: ReasonRow(400, "invalid_type"),
    v1.ERROR_REASON_ABOVE_MAX_LENGTH: ReasonRow(400, "string_above_max_length"),
    v1.ERROR_REASON_INVALID_FILE_FORMAT: ReasonRow(400),
    v1.ERROR_REASON_FILE_TOO_LARGE: ReasonRow(413),
    v1.ERROR_REASON_CONTENT_MISMATCH: ReasonRow(400),
    v1.ERROR_REASON_FILE_NOT_FOUND: ReasonRow(404),
    v1.ERROR_REASON_BATCH_NOT_FOUND: ReasonRow(404),
    v1.ERROR_REASON_UPLOAD_NOT_FOUND: ReasonRow(404),
    # The only 404 with a code, by which clients distinguish an unknown model from a mistyped URL.
    v1.ERROR_REASON_MODEL_NOT_FOUND: ReasonRow(404, "model_not_found"),
    v1.ERROR_REASON_BATCH_NOT_CANCELLABLE: ReasonRow(409, headers=_DO_NOT_RETRY),
    v1.ERROR_REASON_UPLOAD_NOT_PENDING: ReasonRow(400),
    v1.ERROR_REASON_RANGE_NOT_SATISFIABLE: ReasonRow(416, headers={"content-range": "bytes */{bytes}"}),
    # 410 instead of 409: the results existed, will not return, and no client retries a 410.
    v1.ERROR_REASON_RESULTS_NOT_STREAMABLE: ReasonRow(410),
    v1.ERROR_REASON_IDEMPOTENCY_KEY_REUSED: ReasonRow(409, "idempotency_key_reused", headers=_DO_NOT_RETRY),
    v1.ERROR_REASON_RATE_LIMIT_EXCEEDED: ReasonRow(
        429, "rate_limit_exceeded", headers={"retry-after": "{retry_after}"}
    ),
    v1.ERROR_REASON_WEBHOOK_ENDPOINT_NOT_FOUND: ReasonRow(404),
    v1.ERROR_REASON_WEBHOOK_UNREACHABLE: ReasonRow(400, "webhook_unreachable"),
    v1.ERROR_REASON_BATCH_NOT_RETRYABLE: ReasonRow(400, "batch_not_retryable"),
    v1.ERROR_REASON_MISSING_API_KEY: ReasonRow(401),
    v1.ERROR_REASON_INVALID_API_KEY: ReasonRow(401, "invalid_api_key"),
}

# Reasons and parameters without a `code`. OpenAI gives none for an unknown purpose.
WITHOUT_CODE = frozenset({(v1.ERROR_REASON_INVALID_VALUE, "purpose")})

_FAULT = "The server had an error while processing your request. Sorry about that!"
_UNREACHABLE = "The api cannot be reached, or it is not ready. Please try again in a moment."
_COMPONENT = "The server's {component} cannot be used just now. Please try again in a moment."
_LATE = "The server took too long to process your request."
_MISSING = "The server does not offer this operation."

BY_CODE: Mapping[grpc.StatusCode, CodeRow] = {
    grpc.StatusCode.OK: CodeRow(500, SERVER_ERROR, _FAULT),  # never an error; completes the table
    # The api cancels calls when it shuts down. A caller that cancels gets no reply.
    grpc.StatusCode.CANCELLED: CodeRow(503, SERVER_ERROR, _UNREACHABLE),
    grpc.StatusCode.UNKNOWN: CodeRow(500, SERVER_ERROR, _FAULT),
    grpc.StatusCode.INVALID_ARGUMENT: CodeRow(400),
    grpc.StatusCode.DEADLINE_EXCEEDED: CodeRow(504, SERVER_ERROR, _LATE),
    grpc.StatusCode.NOT_FOUND: CodeRow(404),
    grpc.StatusCode.ALREADY_EXISTS: CodeRow(409, headers=_DO_NOT_RETRY),
    grpc.StatusCode.PERMISSION_DENIED: CodeRow(403),
    grpc.StatusCode.RESOURCE_EXHAUSTED: CodeRow(429, "requests", headers={"retry-after": "{retry_after}"}),
    grpc.StatusCode.FAILED_PRECONDITION: CodeRow(400),
    grpc.StatusCode.ABORTED: CodeRow(409),  # a lost race, which the SDK's retry resolves
    grpc.StatusCode.OUT_OF_RANGE: CodeRow(400),
    grpc.StatusCode.UNIMPLEMENTED: CodeRow(501, SERVER_ERROR, _MISSING),
    grpc.StatusCode.INTERNAL: CodeRow(500, SERVER_ERROR, _FAULT),
    grpc.StatusCode.UNAVAILABLE: CodeRow(503, SERVER_ERROR, _UNREACHABLE),
    grpc.StatusCode.DATA_LOSS: CodeRow(500, SERVER_ERROR, _FAULT),
    grpc.StatusCode.UNAUTHENTICATED: CodeRow(401),
}


def refusal(
    reason: v1.ErrorReason.ValueType,
    message: str,
    *,
    param: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ApiError:
    """Return the error for a request that the gateway refuses, as if the api had refused it.

    Args:
        reason: selects the row of `BY_REASON`.
        message: the message for the caller.
        param: the parameter at fault.
        metadata: values for the row's headers.
    """
    row = BY_REASON[reason]
    headers = dict(_fill(row.headers, metadata or {}))
    return ApiError(row.status, message, param=param, code=row.code, headers=headers, reason=reason)


def from_rpc(error: grpc.aio.AioRpcError, request_id: str) -> ApiError:
    """Return the error for a failed RPC.

    Messages about faults of the server contain the request's id instead of details.
    """
    code = BY_CODE[error.code()]
    info = _error_info(error)
    reason = _reason(info)
    metadata = dict(info.metadata)  # a protobuf map would invent missing keys
    param = metadata.get("param") or None
    if reason is not None:
        row = BY_REASON[reason]
        headers = dict(_fill(row.headers, metadata))
        message = error.details() or ""
        error_code = None if (reason, param) in WITHOUT_CODE else row.code
        return ApiError(
            row.status, message, type=code.type, param=param, code=error_code, headers=headers, reason=reason
        )
    text = code.message
    if error.code() is grpc.StatusCode.UNAVAILABLE and (component := _component(error)):
        text = _COMPONENT.format(component=component)
    message = f"{text} (request id: {request_id})" if text else error.details() or ""
    return ApiError(code.status, message, type=code.type, param=param, headers=dict(_fill(code.headers, metadata)))


def internal_error(request_id: str) -> ApiError:
    """Return the error for a fault of the gateway itself."""
    return ApiError(500, f"{_FAULT} (request id: {request_id})", type=SERVER_ERROR)


def _component(error: grpc.aio.AioRpcError) -> str | None:
    """Return the component that the api cannot use, or None if the api did not answer."""
    return next((str(value) for key, value in error.trailing_metadata() if key == COMPONENT_KEY), None)


def _error_info(error: grpc.aio.AioRpcError) -> ErrorInfo:
    """Return the RPC's ErrorInfo, or an empty one if there is none that can be read."""
    info = ErrorInfo()
    for key, value in error.trailing_metadata():
        if key != STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            details = Status.FromString(value).details
            found = next((each for each in details if each.Is(ErrorInfo.DESCRIPTOR)), None)
            if found is not None:
                found.Unpack(info)
        except DecodeError:  # sent by a proxy, or damaged: use the gRPC code alone
            info.Clear()
    return info


def _reason(info: ErrorInfo) -> v1.ErrorReason.ValueType | None:
    """Return the reason, or None if it is of another domain or of a newer api."""
    name = f"ERROR_REASON_{info.reason}"
    known = info.domain == ERROR_DOMAIN and name in v1.ErrorReason.keys()  # noqa: SIM118 - an enum wrapper, not a dict
    return v1.ErrorReason.Value(name) if known else None


def _fill(templates: Mapping[str, str], metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        try:
            yield name, template.format_map(metadata)
        except KeyError:
            continue
