"""Messages as text for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from batchwire import v1
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from batchwire_client._cli.plain import plain
from batchwire_client._statuses import status_word

BATCH_COLUMNS = ("ID", "STATUS", "DONE", "FAILED", "TOTAL", "CREATED", "ENDPOINT")
FILE_COLUMNS = ("ID", "BYTES", "PURPOSE", "CREATED", "FILENAME")
MODEL_COLUMNS = ("ID", "OWNED BY")


def batch_row(batch: v1.Batch) -> tuple[str, ...]:
    """A batch as the cells of BATCH_COLUMNS."""
    counts = batch.request_counts
    numbers = (f"{n:,}" for n in (counts.completed, counts.failed, counts.total))
    return (batch.id, status_word(batch), *numbers, moment(batch.created_at), batch.endpoint)


def file_row(file: v1.File) -> tuple[str, ...]:
    """A file as the cells of FILE_COLUMNS."""
    return (file.id, f"{file.bytes:,}", file.purpose, moment(file.created_at), file.filename)


def model_row(model: v1.Model) -> tuple[str, ...]:
    """A model as the cells of MODEL_COLUMNS."""
    return (model.id, model.owned_by)


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """The lines of a table; no cell is cut, so that ids can be copied."""
    table = [head, *rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def description(message: Message) -> Iterable[str]:
    """All that is set in a message, a field per line."""
    cells = [
        (name, _cell(message, name, value)) for name, value in plain(message).items() if value not in (None, "", [], {})
    ]
    width = max(len(name) for name, _ in cells)
    return (f"{name.ljust(width)}  {cell}" for name, cell in cells)


def moment(timestamp: Timestamp) -> str:
    """A point in time, in UTC."""
    return datetime.fromtimestamp(timestamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def summary(batch: v1.Batch) -> str:
    """How a batch stands, in one line."""
    counts = batch.request_counts
    return f"{batch.id} {status_word(batch)}: {counts.completed:,} of {counts.total:,} lines done, {counts.failed:,} failed"


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
