"""The exceptions that the server raises on purpose.

BatchwireError      a request is refused; a table in `api/errors.py` maps its Reason to a status
LeaseLostError      another worker holds the task: stop working on it and write nothing
BlobNotFoundError   no blob has this key
UnknownModelsError  an upstream does not say at the moment which models it serves
OutOfReachError     the database or the blob store fails at the moment: full, stopped, disconnected
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from batchwire_server.core.health import Component


class Reason(StrEnum):
    """Why a request is refused: the names of `batchwire.v1.ErrorReason` without their prefix."""

    MISSING_REQUIRED_PARAMETER = "MISSING_REQUIRED_PARAMETER"
    INVALID_VALUE = "INVALID_VALUE"
    INVALID_TYPE = "INVALID_TYPE"
    ABOVE_MAX_LENGTH = "ABOVE_MAX_LENGTH"
    INVALID_FILE_FORMAT = "INVALID_FILE_FORMAT"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    CONTENT_MISMATCH = "CONTENT_MISMATCH"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    BATCH_NOT_CANCELLABLE = "BATCH_NOT_CANCELLABLE"
    UPLOAD_NOT_PENDING = "UPLOAD_NOT_PENDING"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    RESULTS_NOT_STREAMABLE = "RESULTS_NOT_STREAMABLE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    WEBHOOK_ENDPOINT_NOT_FOUND = "WEBHOOK_ENDPOINT_NOT_FOUND"
    WEBHOOK_UNREACHABLE = "WEBHOOK_UNREACHABLE"
    BATCH_NOT_RETRYABLE = "BATCH_NOT_RETRYABLE"
    MISSING_API_KEY = "MISSING_API_KEY"
    INVALID_API_KEY = "INVALID_API_KEY"


class BatchwireError(Exception):
    """A refused request. The caller receives its fields.

    Attributes:
        reason: the reason, for programs.
        message: the reason, for people; OpenAI's wording where it has one.
        details: values in the message. `param` names the invalid field of the request.
    """

    def __init__(self, reason: Reason, message: str, **details: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = {name: shorten(text) for name, text in details.items()}


class LeaseLostError(Exception):
    """The task's epoch has moved on. Its new holder writes the result; this one must not."""


class BlobNotFoundError(Exception):
    """No blob has this key."""


class UnknownModelsError(Exception):
    """An upstream does not say which models it serves. The same request may succeed later."""


class OutOfReachError(Exception):
    """A component cannot be used at the moment. The same request may succeed later."""

    def __init__(self, component: Component, why: object) -> None:
        super().__init__(f"{component} out of reach: {why}")
        self.component = component


MAX_QUOTED = 200


def shorten(text: str) -> str:
    """Return a caller's text, cut to fit into a message: messages travel in HTTP headers."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def missing_parameter(param: str) -> BatchwireError:
    """Return the error for an empty required field of a request."""
    return BatchwireError(Reason.MISSING_REQUIRED_PARAMETER, f"Missing required parameter: '{param}'.", param=param)


def missing_property(param: str) -> BatchwireError:
    """Return the error for a missing part of an upload, which OpenAI words differently."""
    return BatchwireError(Reason.MISSING_REQUIRED_PARAMETER, f"'{param}' is a required property", param=param)


def unsupported_value(param: str, value: str, supported: Iterable[str]) -> BatchwireError:
    """Return the error for a field whose value is not one of a list."""
    return BatchwireError(
        Reason.INVALID_VALUE,
        f"Invalid value: '{shorten(value)}'. Supported values are: {join_words(repr(word) for word in supported)}.",
        param=param,
    )


def invalid_value(param: str, message: str) -> BatchwireError:
    """Return the error for a value outside its range or grammar."""
    return BatchwireError(Reason.INVALID_VALUE, message, param=param)


def above_max_length(param: str, message: str) -> BatchwireError:
    """Return the error for a string or map that is too long."""
    return BatchwireError(Reason.ABOVE_MAX_LENGTH, message, param=param)


def invalid_file_format() -> BatchwireError:
    """Return the error for uploaded bytes that cannot be a batch's input."""
    return BatchwireError(Reason.INVALID_FILE_FORMAT, "Invalid file format for Batch API. Must be .jsonl")


def file_too_large(max_bytes: int) -> BatchwireError:
    """Return the error for an upload of more than `max_bytes`."""
    return BatchwireError(Reason.FILE_TOO_LARGE, "File is too large.", max_bytes=str(max_bytes))


def content_mismatch(param: str, declared: object, received: object) -> BatchwireError:
    """Return the error for content that differs from what the caller declared."""
    return BatchwireError(
        Reason.CONTENT_MISMATCH,
        f"The content does not match '{param}': declared {shorten(str(declared))}, received {received}.",
        param=param,
    )


def file_not_found(file_id: str) -> BatchwireError:
    """Return the error for a file id that the caller does not have."""
    return BatchwireError(
        Reason.FILE_NOT_FOUND, f"No such File object: {shorten(file_id)}", param="id", file_id=file_id
    )


def batch_not_found(batch_id: str) -> BatchwireError:
    """Return the error for a batch id that the caller does not have."""
    return BatchwireError(Reason.BATCH_NOT_FOUND, f"No batch found with id '{shorten(batch_id)}'.", batch_id=batch_id)


def upload_not_found(upload_id: str) -> BatchwireError:
    """Return the error for an upload id that the caller does not have."""
    return BatchwireError(
        Reason.UPLOAD_NOT_FOUND, f"No upload found with id '{shorten(upload_id)}'.", upload_id=upload_id
    )


def model_not_found(model: str) -> BatchwireError:
    """Return the error for a model that no upstream serves."""
    return BatchwireError(
        Reason.MODEL_NOT_FOUND, f"The model '{shorten(model)}' does not exist", param="model", model_id=model
    )


def batch_not_cancellable(status: str) -> BatchwireError:
    """Return the error for cancelling a batch that has ended."""
    return BatchwireError(Reason.BATCH_NOT_CANCELLABLE, f"Cannot cancel a batch with status '{status}'.", status=status)


def batch_not_retryable(batch_id: str, status: str, why: str) -> BatchwireError:
    """Return the error for a retry of a batch without lines to run again."""
    message = f"The batch '{batch_id}' cannot be retried: {why}."
    return BatchwireError(Reason.BATCH_NOT_RETRYABLE, message, param="retry_of", status=status)


def upload_not_pending(status: str) -> BatchwireError:
    """Return the error for an upload that accepts no more parts."""
    return BatchwireError(
        Reason.UPLOAD_NOT_PENDING, f"The upload is no longer pending: its status is '{status}'.", status=status
    )


def range_not_satisfiable(size: int) -> BatchwireError:
    """Return the error for a range that starts beyond the end of `size` bytes."""
    return BatchwireError(
        Reason.RANGE_NOT_SATISFIABLE, f"The range starts beyond the end of {size} bytes.", bytes=str(size)
    )


def results_not_streamable(status: str) -> BatchwireError:
    """Return the error for results that were deleted after the end of their batch."""
    return BatchwireError(
        Reason.RESULTS_NOT_STREAMABLE,
        f"The batch is '{status}' and its results can no longer be streamed; download its output and error file.",
        status=status,
    )


def idempotency_key_reused(batch_id: str) -> BatchwireError:
    """Return the error for a key that another call used, which created `batch_id`."""
    return BatchwireError(
        Reason.IDEMPOTENCY_KEY_REUSED,
        f"The idempotency key was used before, with other parameters, for the batch '{batch_id}'.",
        param="idempotency_key",
        batch_id=batch_id,
    )


def too_many_batches(per_hour: int, wait: int) -> BatchwireError:
    """Return the error for a tenant that may create its next batch in `wait` seconds."""
    return BatchwireError(
        Reason.RATE_LIMIT_EXCEEDED,
        f"Rate limit reached for batch creation: {per_hour} batches per hour. Please try again in {wait}s.",
        retry_after=str(wait),
    )


def webhook_endpoint_not_found(endpoint_id: str) -> BatchwireError:
    """Return the error for a webhook endpoint id that the caller does not have."""
    message = f"No webhook endpoint found with id '{shorten(endpoint_id)}'."
    return BatchwireError(Reason.WEBHOOK_ENDPOINT_NOT_FOUND, message, webhook_endpoint_id=endpoint_id)


def webhook_unreachable(why: str) -> BatchwireError:
    """Return the error for a delivery without a response."""
    return BatchwireError(Reason.WEBHOOK_UNREACHABLE, f"The webhook endpoint could not be reached: {why}.")


def missing_api_key() -> BatchwireError:
    """Return the error for a call without the required API key."""
    return BatchwireError(
        Reason.MISSING_API_KEY,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    )


def invalid_api_key(hint: str) -> BatchwireError:
    """Return the error for an API key that does not exist or is revoked."""
    return BatchwireError(Reason.INVALID_API_KEY, f"Incorrect API key provided: {hint}.", key=hint)


def join_words(words: Iterable[str]) -> str:
    """Join words as in a sentence: `a, b, and c`."""
    *most, last = words
    return f"{', '.join(most)}, and {last}" if len(most) > 1 else " and ".join((*most, last))
