"""The errors of the client.

    BatchwireError
    ├── ServerUnavailable       no connection, or it broke            (also a ConnectionError)
    ├── DeadlineExceeded        no response in time                   (also a TimeoutError)
    ├── CorruptDownload         the received bytes are not the file's
    └── RequestError            the server refused the call: .code .reason .param .metadata
        ├── InvalidRequest      an argument or a file is wrong; a retry does not help
        ├── NotFound            no file, batch, upload or model of the caller has this id
        ├── Conflict            the state of the batch or upload does not allow the call
        ├── Unauthenticated     the API key is missing or wrong
        ├── PermissionDenied    the API key does not allow the call
        ├── RateLimited         a limit is reached; a later retry may succeed
        └── ServerError         the server failed

Match on the type or on `reason`. Messages are for people and may change.
"""

# ruff: noqa: N818 - `except NotFound` reads well; a suffix Error on every name would add nothing

from __future__ import annotations

from collections.abc import Mapping

import grpc


class BatchwireError(Exception):
    """Base class of the errors of this library."""


class ServerUnavailable(BatchwireError, ConnectionError):
    """The server cannot be reached, or the connection broke and could not be restored."""


class DeadlineExceeded(BatchwireError, TimeoutError):
    """No response came in time. The server may have executed the call."""


class CorruptDownload(BatchwireError):
    """The SHA-256 of a download is not that of the file."""


class RequestError(BatchwireError):
    """The server refused a call.

    Attributes:
        code: The gRPC status code.
        reason: A name of `batchwire.v1.ErrorReason` without its prefix, such as
            `"FILE_NOT_FOUND"`. Empty if the server gave none.
        metadata: The objects of the error, such as `{"file_id": "file-abc"}`.
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
        """The path of the wrong request field, such as `"metadata.team"`; None if there is no one."""
        return self.metadata.get("param")


class InvalidRequest(RequestError):
    """A value, a missing field or the content of a file is wrong."""


class NotFound(RequestError):
    """No file, batch, upload or model of the caller has this id."""


class Conflict(RequestError):
    """The state of the batch or upload does not allow the call."""


class Unauthenticated(RequestError):
    """The API key is missing or wrong."""


class PermissionDenied(RequestError):
    """The API key does not allow the call."""


class RateLimited(RequestError):
    """A limit of the server is reached. A later retry may succeed."""


class ServerError(RequestError):
    """The server failed to execute the call."""
