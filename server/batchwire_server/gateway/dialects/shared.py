"""What more than one dialect says: batches that wait, faults as sentences, ids that are empty rather than null, metadata of any JSON value."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from batchwire import v1
from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.descriptors import enum_words
from batchwire_server.gateway.transcoding.encode import Derive, Reshape

# Marks a value of the protocol's metadata that is JSON text. A string that itself begins so is written as JSON too, so none is mistaken.
JSON_MARK = "json:"


def sentences(errors: list[Any]) -> list[str]:
    """Each fault of a batch as one sentence: its words, and the line where there is one."""
    return [
        each["message"] if each["line"] is None else f"Line {each['line']}: {each['message']}" for each in errors or []
    ]


def paragraph(errors: list[Any]) -> str:
    """All faults of a batch in one string, one in a line; empty when there are none."""
    return "\n".join(sentences(errors))


def status_with(queued: str, **others: str) -> Derive:
    """A batch's status where `queued` stands for in progress until a line has ended, and others for words of the protocol."""
    words = {number: others.get(word, word) for number, word in enum_words(v1.BatchStatus.DESCRIPTOR).items()}

    def status(message: Message) -> str | None:
        batch = cast("v1.Batch", message)
        waits = not (batch.request_counts.completed or batch.request_counts.failed)
        return queued if waits and batch.status == v1.BATCH_STATUS_IN_PROGRESS else words.get(batch.status)

    return Derive(status, {"enum": [*dict.fromkeys([*words.values(), queued]), None]})


def metadata_in_text(values: dict[str, Any]) -> dict[str, Any]:
    """A request whose metadata may hold any JSON value, as one whose metadata holds strings."""
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):
        return values
    return {**values, "metadata": {key: _in_text(value) for key, value in metadata.items()}}


def metadata_from_text(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The metadata that `metadata_in_text` was given; null when it is empty."""
    return {key: _from_text(value) for key, value in metadata.items()} or None


# Metadata as it was given.
ANY_METADATA = Reshape(metadata_from_text, {"type": ["object", "null"]})

# An id that is empty where others have null.
EMPTY_ID = Reshape(lambda value: value or "", {"type": "string"})


def _in_text(value: Any) -> str:
    if isinstance(value, str) and not value.startswith(JSON_MARK):
        return value
    return JSON_MARK + msgspec.json.encode(value).decode()


def _from_text(text: str) -> Any:
    if not text.startswith(JSON_MARK):
        return text
    try:
        return msgspec.json.decode(text.removeprefix(JSON_MARK))
    except msgspec.DecodeError:  # another dialect's caller wrote it, and meant the string
        return text
