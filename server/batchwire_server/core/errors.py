"""The errors that the server raises on purpose.

BatchwireError         refused: carries a Reason, which one table of the gRPC face turns into a status
LeaseLostError         another worker holds the task now: whoever sees this stops, and writes nothing
BlobNotFoundError      the bytes under a key are gone
UnknownModelsError     which models an upstream serves cannot be learned just now
OutOfReachError        the database or the blobs cannot do their part just now: full, stopped, cut off
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from batchwire_server.core.health import Component


class Reason(StrEnum):
    """Why a call is refused: the names of `batchwire.v1.ErrorReason` without their prefix."""

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
    """A refusal that the caller is told of.

    Attributes:
        reason: why, for programs.
        message: why, for people; OpenAI's own words where it has some.
        details: what the message speaks of; `param` names the request field at fault.
    """

    def __init__(self, reason: Reason, message: str, **details: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = {name: shorten(text) for name, text in details.items()}


class LeaseLostError(Exception):
    """The task's epoch has moved on: its new owner writes the result, this one must not."""


class BlobNotFoundError(Exception):
    """No blob has this key."""


class UnknownModelsError(Exception):
    """An upstream that should say which models it serves does not answer; try again later."""


class OutOfReachError(Exception):
    """A component cannot be used at the moment. The same request may succeed later."""

    def __init__(self, component: Component, why: object) -> None:
        super().__init__(f"{component} out of reach: {why}")
        self.component = component


MAX_QUOTED = 200


def shorten(text: str) -> str:
    """Returns a caller's text as it may stand in a message: messages travel in headers, which have no room for more."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def missing_parameter(param: str) -> BatchwireError:
    """A required field of a request is empty."""
    return BatchwireError(Reason.MISSING_REQUIRED_PARAMETER, f"Missing required parameter: '{param}'.", param=param)


def missing_property(param: str) -> BatchwireError:
    """A required part of an upload is missing: OpenAI words this one differently."""
    return BatchwireError(Reason.MISSING_REQUIRED_PARAMETER, f"'{param}' is a required property", param=param)


def unsupported_value(param: str, value: str, supported: Iterable[str]) -> BatchwireError:
    """A field holds none of the values that it may hold."""
    return BatchwireError(
        Reason.INVALID_VALUE,
        f"Invalid value: '{shorten(value)}'. Supported values are: {join_words(repr(word) for word in supported)}.",
        param=param,
    )


def invalid_value(param: str, message: str) -> BatchwireError:
    """A field holds a value outside its range or grammar."""
    return BatchwireError(Reason.INVALID_VALUE, message, param=param)


def above_max_length(param: str, message: str) -> BatchwireError:
    """A string or a map is longer than allowed."""
    return BatchwireError(Reason.ABOVE_MAX_LENGTH, message, param=param)


def invalid_file_format() -> BatchwireError:
    """The uploaded bytes cannot be a batch's input."""
    return BatchwireError(Reason.INVALID_FILE_FORMAT, "Invalid file format for Batch API. Must be .jsonl")


def file_too_large(max_bytes: int) -> BatchwireError:
    """The upload passed the limit of `max_bytes` bytes."""
    return BatchwireError(Reason.FILE_TOO_LARGE, "File is too large.", max_bytes=str(max_bytes))


def content_mismatch(param: str, declared: object, received: object) -> BatchwireError:
    """What arrived is not what was announced."""
    return BatchwireError(
        Reason.CONTENT_MISMATCH,
        f"The content does not match '{param}': declared {shorten(str(declared))}, received {received}.",
        param=param,
    )


def file_not_found(file_id: str) -> BatchwireError:
    """No file of the caller has this id."""
    return BatchwireError(
        Reason.FILE_NOT_FOUND, f"No such File object: {shorten(file_id)}", param="id", file_id=file_id
    )


def batch_not_found(batch_id: str) -> BatchwireError:
    """No batch of the caller has this id."""
    return BatchwireError(Reason.BATCH_NOT_FOUND, f"No batch found with id '{shorten(batch_id)}'.", batch_id=batch_id)


def upload_not_found(upload_id: str) -> BatchwireError:
    """No upload of the caller has this id."""
    return BatchwireError(
        Reason.UPLOAD_NOT_FOUND, f"No upload found with id '{shorten(upload_id)}'.", upload_id=upload_id
    )


def model_not_found(model: str) -> BatchwireError:
    """No upstream serves this model."""
    return BatchwireError(
        Reason.MODEL_NOT_FOUND, f"The model '{shorten(model)}' does not exist", param="model", model_id=model
    )


def batch_not_cancellable(status: str) -> BatchwireError:
    """The batch has ended otherwise."""
    return BatchwireError(Reason.BATCH_NOT_CANCELLABLE, f"Cannot cancel a batch with status '{status}'.", status=status)


def batch_not_retryable(batch_id: str, status: str, why: str) -> BatchwireError:
    """There are no lines that could be run again."""
    message = f"The batch '{batch_id}' cannot be retried: {why}."
    return BatchwireError(Reason.BATCH_NOT_RETRYABLE, message, param="retry_of", status=status)


def upload_not_pending(status: str) -> BatchwireError:
    """The upload takes no more parts."""
    return BatchwireError(
        Reason.UPLOAD_NOT_PENDING, f"The upload is no longer pending: its status is '{status}'.", status=status
    )


def range_not_satisfiable(size: int) -> BatchwireError:
    """The asked range starts beyond the end, `size` bytes from the start."""
    return BatchwireError(
        Reason.RANGE_NOT_SATISFIABLE, f"The range starts beyond the end of {size} bytes.", bytes=str(size)
    )


def results_not_streamable(status: str) -> BatchwireError:
    """The batch ended too long ago to stream its results."""
    return BatchwireError(
        Reason.RESULTS_NOT_STREAMABLE,
        f"The batch is '{status}' and its results can no longer be streamed; download its output and error file.",
        status=status,
    )


def idempotency_key_reused(batch_id: str) -> BatchwireError:
    """The key names another call, which created `batch_id`."""
    return BatchwireError(
        Reason.IDEMPOTENCY_KEY_REUSED,
        f"The idempotency key was used before, with other parameters, for the batch '{batch_id}'.",
        param="idempotency_key",
        batch_id=batch_id,
    )


def too_many_batches(per_hour: int, wait: int) -> BatchwireError:
    """The tenant has created as many batches as it may for now; one more may be in `wait` seconds."""
    return BatchwireError(
        Reason.RATE_LIMIT_EXCEEDED,
        f"Rate limit reached for batch creation: {per_hour} batches per hour. Please try again in {wait}s.",
        retry_after=str(wait),
    )


def webhook_endpoint_not_found(endpoint_id: str) -> BatchwireError:
    """No webhook endpoint of the caller has this id."""
    message = f"No webhook endpoint found with id '{shorten(endpoint_id)}'."
    return BatchwireError(Reason.WEBHOOK_ENDPOINT_NOT_FOUND, message, webhook_endpoint_id=endpoint_id)


def webhook_unreachable(why: str) -> BatchwireError:
    """Nothing was answered to a delivery."""
    return BatchwireError(Reason.WEBHOOK_UNREACHABLE, f"The webhook endpoint could not be reached: {why}.")


def missing_api_key() -> BatchwireError:
    """The call has no key, and the server wants one."""
    return BatchwireError(
        Reason.MISSING_API_KEY,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    )


def invalid_api_key(hint: str) -> BatchwireError:
    """No such key, or not any more."""
    return BatchwireError(Reason.INVALID_API_KEY, f"Incorrect API key provided: {hint}.", key=hint)


def join_words(words: Iterable[str]) -> str:
    """Joins words as a sentence does: `a, b, and c`."""
    *most, last = words
    return f"{', '.join(most)}, and {last}" if len(most) > 1 else " and ".join((*most, last))
