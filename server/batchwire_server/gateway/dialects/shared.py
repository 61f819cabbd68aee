"""Parts that several dialects share: schemas, statuses, errors as text, empty ids, metadata."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from batchwire import v1
from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.descriptors import enum_names
from batchwire_server.gateway.transcoding.encode import Computed, Converted

# Marks a metadata value that is JSON text. A string that begins with the mark is encoded too, so
# decoding is unambiguous.
JSON_PREFIX = "json:"


def closed_object(**properties: Any) -> dict[str, Any]:
    """Return the JSON Schema of an object with exactly these keys."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def error_sentences(errors: list[Any]) -> list[str]:
    """Return each error of a batch as one sentence: its line, if it has one, and its message."""
    return [
        each["message"] if each["line"] is None else f"Line {each['line']}: {each['message']}" for each in errors or []
    ]


def error_text(errors: list[Any]) -> str:
    """Return all errors of a batch as one string, a line each; "" if there are none."""
    return "\n".join(error_sentences(errors))


def status_override(*, queued: str | None = None, **names: str) -> Computed:
    """Return the override of `Batch.status` for a dialect with statuses of its own.

    Args:
        queued: status of a batch in progress of which no line has ended yet. None means that the
            dialect does not distinguish it from other batches in progress.
        **names: maps a status of the protocol to the dialect's, where they differ.
    """
    statuses = {number: names.get(name, name) for number, name in enum_names(v1.BatchStatus.DESCRIPTOR).items()}
    waiting = queued or statuses[v1.BATCH_STATUS_IN_PROGRESS]

    def status(message: Message) -> str | None:
        batch = cast("v1.Batch", message)
        waits = not (batch.request_counts.completed or batch.request_counts.failed)
        return waiting if waits and batch.status == v1.BATCH_STATUS_IN_PROGRESS else statuses.get(batch.status)

    return Computed(status, {"enum": [*dict.fromkeys([*statuses.values(), waiting]), None]})


def encode_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Return a request's JSON with each metadata value that is not a string encoded as one."""
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):
        return values
    return {**values, "metadata": {key: _encode(value) for key, value in metadata.items()}}


def decode_metadata(metadata: dict[str, str]) -> dict[str, Any] | None:
    """Return the metadata that `encode_metadata` was given, or None if it is empty."""
    return {key: _decode(value) for key, value in metadata.items()} or None


# Metadata with its JSON values, as the caller sent it.
ANY_METADATA = Converted(decode_metadata, {"type": ["object", "null"]})

# An id that is "" instead of null.
EMPTY_IF_NULL = Converted(lambda value: value or "", {"type": "string"})


def _encode(value: Any) -> str:
    if isinstance(value, str) and not value.startswith(JSON_PREFIX):
        return value
    return JSON_PREFIX + msgspec.json.encode(value).decode()


def _decode(text: str) -> Any:
    if not text.startswith(JSON_PREFIX):
        return text
    try:
        return msgspec.json.decode(text.removeprefix(JSON_PREFIX))
    except msgspec.DecodeError:  # a plain string that a caller of another dialect sent
        return text
