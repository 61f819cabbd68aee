"""The files that an ended batch leaves."""

from batchwire import v1

from batchwire_client._statuses import TERMINAL, status_word


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
