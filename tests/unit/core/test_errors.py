"""The exceptions that the server raises on purpose."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from batchwire_server.core import errors
from batchwire_server.core.errors import BatchwireError, Reason, join_words

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "missing_parameter": ("endpoint",),
    "missing_property": ("file",),
    "unsupported_value": ("endpoint", "/x", ["/a", "/b", "/c"]),
    "invalid_value": ("limit", "too many"),
    "above_max_length": ("metadata", "too long"),
    "invalid_file_format": (),
    "file_too_large": (10,),
    "content_mismatch": ("sha256", "a", "b"),
    "file_not_found": ("file-1",),
    "batch_not_found": ("batch_1",),
    "upload_not_found": ("upload_1",),
    "model_not_found": ("m",),
    "batch_not_cancellable": ("completed",),
    "batch_not_retryable": ("batch_1", "completed", "none of its lines failed"),
    "upload_not_pending": ("cancelled",),
    "range_not_satisfiable": (5,),
    "results_not_streamable": ("completed",),
    "idempotency_key_reused": ("batch_1",),
    "too_many_batches": (2000, 7),
    "webhook_endpoint_not_found": ("whe_1",),
    "webhook_unreachable": ("it did not answer in time",),
    "missing_api_key": (),
    "invalid_api_key": ("bw-abc…",),
}


def makers() -> dict[str, Callable[..., BatchwireError]]:
    found = inspect.getmembers(errors, inspect.isfunction)
    return {name: function for name, function in found if function.__annotations__["return"] == "BatchwireError"}


def test_every_error_function_has_an_example_here() -> None:
    assert set(makers()) == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_error_has_a_message_and_details_of_text(name: str) -> None:
    error = makers()[name](*ARGUMENTS[name])
    assert str(error) == error.message
    assert error.message
    assert all(isinstance(value, str) for value in error.details.values())


def test_every_reason_of_the_server_has_a_function() -> None:
    made = {makers()[name](*arguments).reason for name, arguments in ARGUMENTS.items()}
    assert made == set(Reason) - {Reason.INVALID_TYPE}  # only the gateway finds wrong JSON types


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.missing_parameter("url"), "Missing required parameter: 'url'."),
        (errors.missing_property("file"), "'file' is a required property"),
        (errors.invalid_file_format(), "Invalid file format for Batch API. Must be .jsonl"),
        (errors.file_too_large(9), "File is too large."),
        (errors.file_not_found("file-1"), "No such File object: file-1"),
        (errors.batch_not_found("b"), "No batch found with id 'b'."),
        (errors.batch_not_cancellable("completed"), "Cannot cancel a batch with status 'completed'."),
        (
            errors.unsupported_value("endpoint", "/x", ["/a", "/b", "/c"]),
            "Invalid value: '/x'. Supported values are: '/a', '/b', and '/c'.",
        ),
    ],
)
def test_messages_that_clients_match_on_are_openais(error: BatchwireError, message: str) -> None:
    assert error.message == message


def test_words_are_joined_as_in_a_sentence() -> None:
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b"]) == "a and b"
    assert join_words(["a", "b", "c"]) == "a, b, and c"
