"""The exceptions of the client.

    BatchwireError
    ├── ServerUnavailable       no connection, or it broke and did not recover (a ConnectionError)
    ├── DeadlineExceeded        no response within the timeout (a TimeoutError)
    ├── CorruptDownload         the downloaded bytes do not match the file's SHA-256
    └── RequestError            the server refused the call: .code .reason .param .metadata
        ├── InvalidRequest      an argument or a file's content is invalid; do not retry as it is
        ├── NotFound            the caller has no file, batch, upload or model with this id
        ├── Conflict            the state of the batch, upload or webhook does not allow the call
        ├── Unauthenticated     the API key is missing or wrong
        ├── PermissionDenied    the API key does not allow the call
        ├── RateLimited         a limit of the server is reached; retry later
        └── ServerError         the server failed

Match on the type or on `reason`. Messages are for people, and may change.
"""

# ruff: noqa: N818 - `except NotFound` is clear without an Error suffix

from __future__ import annotations

from collections.abc import Mapping

import grpc


class BatchwireError(Exception):
    """The base of all errors of the client. Wrong arguments raise ValueError or TypeError."""


class ServerUnavailable(BatchwireError, ConnectionError):
    """The target does not respond, or the connection broke and did not recover."""


class DeadlineExceeded(BatchwireError, TimeoutError):
    """No response came within the timeout. The server may still have executed the call."""


class CorruptDownload(BatchwireError):
    """The downloaded bytes do not match the file's SHA-256."""


class RequestError(BatchwireError):
    """The server refused a call.

    Attributes:
        code: the gRPC status code.
        reason: the name of a `batchwire.v1.ErrorReason` without its prefix, such as
            `"FILE_NOT_FOUND"`. Empty if the server sent none.
        metadata: details of the error, such as `{"file_id": "file-abc"}`.
    """

    def __init__(
        self, message: str, *, code: grpc.StatusCode, reason: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})

    @property
    def param(self) -> str | None:
        """The path of the invalid field, such as `"metadata.team"`. None if unknown."""
        return self.metadata.get("param")


class InvalidRequest(RequestError):
    """An argument is invalid or missing, or the content of a file is invalid."""


class NotFound(RequestError):
    """The caller has no file, batch, upload or model with this id."""


class Conflict(RequestError):
    """The state of the batch, upload or webhook endpoint does not allow the call."""


class Unauthenticated(RequestError):
    """The API key is missing or wrong."""


class PermissionDenied(RequestError):
    """The API key does not allow the call."""


class RateLimited(RequestError):
    """A limit of the server is reached. Retry later."""


class ServerError(RequestError):
    """The server failed while it executed the call."""
