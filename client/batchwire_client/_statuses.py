"""The protocol's enum values in OpenAI's words: `BATCH_STATUS_IN_PROGRESS` is `in_progress`."""

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
    """Return an enum value in lower case, without the prefix of its enum.

    A value that this version of the library does not know is returned as its number.
    """
    if number not in enum.values_by_number:
        return str(number)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).lower() + "_"
    return enum.values_by_number[number].name.lower().removeprefix(prefix)


def status_word(batch: v1.Batch) -> str:
    """Return the status of a batch in OpenAI's words, such as `"in_progress"`."""
    return word(v1.BatchStatus.DESCRIPTOR, batch.status)


def output_file_of(batch: v1.Batch) -> str | None:
    """Return the id of a batch's output file, or None if no line succeeded.

    Raises:
        ValueError: The batch has not ended.
    """
    _require_ended(batch)
    return batch.output_file_id or None


def error_file_of(batch: v1.Batch) -> str | None:
    """Return the id of a batch's error file, or None if no line failed.

    Raises:
        ValueError: The batch has not ended.
    """
    _require_ended(batch)
    return batch.error_file_id or None


def _require_ended(batch: v1.Batch) -> None:
    if batch.status not in TERMINAL:
        raise ValueError(
            f"batch {batch.id} is {status_word(batch)} and has no files yet; call `batches.wait` before reading them"
        )
