"""What can go wrong, as types.

    BatchwireError
    ├── ServerUnavailable       nobody answers, or the connection broke and did not come back    (also a ConnectionError)
    ├── DeadlineExceeded        no answer within the time given                                  (also a TimeoutError)
    ├── CorruptDownload         the bytes received are not the file's bytes
    └── RequestError            the server refused the call: .code .reason .param .metadata
        ├── InvalidRequest      something in the call is wrong; sending it again will not help
        ├── NotFound            no file, batch, upload or model of the caller has this id
        ├── Conflict            the batch or upload is in a state that does not allow it
        ├── Unauthenticated     the API key is missing or wrong
        ├── PermissionDenied    the API key may not do this
        ├── RateLimited         too much at once; later it may work
        └── ServerError         the server failed; not the caller's doing

Match on the type or on `reason`; the message is for people and may be reworded.
"""
# ruff: noqa: N818 - `except NotFound` says it; an Error at the end of every name would say nothing more

from collections.abc import Mapping

import grpc


class BatchwireError(Exception):
    """Anything that this library raises on purpose, except for wrong arguments."""


class ServerUnavailable(BatchwireError, ConnectionError):
    """Nobody answers at the target, or the connection broke and did not come back."""


class DeadlineExceeded(BatchwireError, TimeoutError):
    """No answer came within the time given. The server may still have done what was asked."""


class CorruptDownload(BatchwireError):
    """A download ended with other bytes than the file has, by its SHA-256."""


class RequestError(BatchwireError):
    """The server refused a call.

    Attributes:
        code: The gRPC status code.
        reason: A name of `batchwire.v1.ErrorReason` without its prefix, such as `"FILE_NOT_FOUND"`; empty when the
            server gave none.
        metadata: What the message speaks of, such as `{"file_id": "file-abc"}`.
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
        """The request field at fault in dotted form, such as `"metadata.team"`; None when no single one is."""
        return self.metadata.get("param")


class InvalidRequest(RequestError):
    """Something in the call is wrong: a value, a missing field, the content of a file."""


class NotFound(RequestError):
    """No file, batch, upload or model of the caller has this id."""


class Conflict(RequestError):
    """The batch or upload is in a state that does not allow what was asked."""


class Unauthenticated(RequestError):
    """The API key is missing or wrong."""


class PermissionDenied(RequestError):
    """The API key may not do this."""


class RateLimited(RequestError):
    """Too much at once: a limit of the server is reached."""


class ServerError(RequestError):
    """The server failed while it worked on the call."""
