"""Messages of the protocol as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from batchwire import v1
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchwire_client._statuses import status_word, word

BATCH_COLUMNS = ("ID", "STATUS", "DONE", "FAILED", "TOTAL", "CREATED", "ENDPOINT")
FILE_COLUMNS = ("ID", "BYTES", "PURPOSE", "CREATED", "FILENAME")
MODEL_COLUMNS = ("ID", "OWNED BY")


def batch_row(batch: v1.Batch) -> tuple[str, ...]:
    """Return a batch as the cells of BATCH_COLUMNS."""
    counts = batch.request_counts
    numbers = (f"{n:,}" for n in (counts.completed, counts.failed, counts.total))
    return (batch.id, status_word(batch), *numbers, moment(batch.created_at), batch.endpoint)


def file_row(file: v1.File) -> tuple[str, ...]:
    """Return a file as the cells of FILE_COLUMNS."""
    return (file.id, f"{file.bytes:,}", file.purpose, moment(file.created_at), file.filename)


def model_row(model: v1.Model) -> tuple[str, ...]:
    """Return a model as the cells of MODEL_COLUMNS."""
    return (model.id, model.owned_by)


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Return the lines of a table. No cell is cut, so that ids can be copied."""
    table = [head, *rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def description(message: Message) -> Iterable[str]:
    """Return the fields of a message that are set, one per line."""
    cells = [
        (name, _cell(message, name, value))
        for name, value in as_dict(message).items()
        if value not in (None, "", [], {})
    ]
    width = max(len(name) for name, _ in cells)
    return (f"{name.ljust(width)}  {cell}" for name, cell in cells)


def moment(timestamp: Timestamp) -> str:
    """Return a timestamp as text, in UTC."""
    return datetime.fromtimestamp(timestamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def summary(batch: v1.Batch) -> str:
    """Return a batch's id, status and counts in one line."""
    counts = batch.request_counts
    return f"{batch.id} {status_word(batch)}: {counts.completed:,} of {counts.total:,} lines done, {counts.failed:,} failed"


def print_input_errors(batch: v1.Batch, console: Console) -> None:
    """Print the input errors of a batch as a table, one row each."""
    table = Table("LINE", "CODE", "FIELD", "MESSAGE", title=f"{batch.id}: the input has errors", title_justify="left")
    table.columns[0].justify = "right"
    for error in batch.errors:
        line = str(error.line) if error.HasField("line") else "-"
        table.add_row(*(Text(cell) for cell in (line, error.code, error.param or "-", error.message)))
    console.print(table)


def as_dict(message: Message) -> dict[str, Any]:
    """Return a message with all its fields under the protocol's names.

    Timestamps are integer Unix seconds, enum values are lower-case words, and unset fields are
    None.
    """
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def json_line(message: Message) -> str:
    """Return a message as one line of JSON."""
    return json.dumps(as_dict(message), ensure_ascii=False)


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_value(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.seconds
    if isinstance(value, Message):
        return as_dict(value)
    if field.enum_type is not None:
        return word(field.enum_type, value)
    return value


def _cell(message: Message, name: str, value: object) -> str:
    field = getattr(message, name)
    return moment(field) if isinstance(field, Timestamp) else _flat(value)


def _flat(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key}={_flat(inner)}" for key, inner in value.items())
        case list():
            return "; ".join(map(_flat, value))
        case _:
            return str(value)
