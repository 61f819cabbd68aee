"""The protocol's enum values in OpenAI's words: `BATCH_STATUS_IN_PROGRESS` is `in_progress`."""

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
    """An enum value in lower case and without the enum's prefix; a value newer than this library as its number."""
    if number not in enum.values_by_number:
        return str(number)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).lower() + "_"
    return enum.values_by_number[number].name.lower().removeprefix(prefix)


def status_word(batch: v1.Batch) -> str:
    """Where a batch stands, such as `"in_progress"`."""
    return word(v1.BatchStatus.DESCRIPTOR, batch.status)


def output_file_of(batch: v1.Batch) -> str | None:
    """Id of the file with the answers; None when no line was answered. Raises ValueError unless the batch has ended."""
    _require_end(batch)
    return batch.output_file_id or None


def error_file_of(batch: v1.Batch) -> str | None:
    """Id of the file with the failed lines; None when there are none. Raises ValueError unless the batch has ended."""
    _require_end(batch)
    return batch.error_file_id or None


def _require_end(batch: v1.Batch) -> None:
    if batch.status not in TERMINAL:
        msg = f"batch {batch.id} is {status_word(batch)} and has no files yet; wait for it first"
        raise ValueError(msg)
