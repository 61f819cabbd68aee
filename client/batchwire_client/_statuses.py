"""Statuses as words (`BATCH_STATUS_FAILED` is `failed`), and the files of ended batches."""

from __future__ import annotations

import re

from batchwire import v1
from google.protobuf.descriptor import EnumDescriptor

TERMINAL = frozenset(
    {
        v1.BATCH_STATUS_COMPLETED,
        v1.BATCH_STATUS_FAILED,
        v1.BATCH_STATUS_EXPIRED,
        v1.BATCH_STATUS_CANCELLED,
    }
)


def word(enum: EnumDescriptor, number: int) -> str:
    """Return an enum value in lower case, without the enum's prefix.

    A value that this library does not know is returned as its number.
    """
    if number not in enum.values_by_number:
        return str(number)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).lower() + "_"
    return enum.values_by_number[number].name.lower().removeprefix(prefix)


def status_word(batch: v1.Batch) -> str:
    """Return the status of a batch as a word, such as `"in_progress"`."""
    return word(v1.BatchStatus.DESCRIPTOR, batch.status)


def output_file_of(batch: v1.Batch) -> str | None:
    """Return the id of the output file, or None. Raises ValueError unless the batch has ended."""
    _require_end(batch)
    return batch.output_file_id or None


def error_file_of(batch: v1.Batch) -> str | None:
    """Return the id of the error file, or None. Raises ValueError unless the batch has ended."""
    _require_end(batch)
    return batch.error_file_id or None


def _require_end(batch: v1.Batch) -> None:
    if batch.status not in TERMINAL:
        msg = f"batch {batch.id} is {status_word(batch)} and has no files yet; wait for it first"
        raise ValueError(msg)
