"""What a progress says: pure text from numbers."""

from batchwire import v1

from batchwire_client._cli.rate import Pace, duration

_MEGABYTE = 1_000_000


def transfer_phrase(done: int, total: int | None, pace: Pace) -> str:
    """How a transfer stands: bytes and speed."""
    rate = pace.rate()
    of_all = f"/{total / _MEGABYTE:.1f}" if total is not None else ""
    return _joined(
        f"{done / _MEGABYTE:.1f}{of_all} MB",
        f"{rate / _MEGABYTE:.1f} MB/s" if rate is not None else None,
    )


def batch_phrase(batch: v1.Batch, pace: Pace) -> str:
    """How a batch runs: lines done and failed, their rate, time left."""
    counts = batch.request_counts
    rate = pace.rate()
    left = pace.seconds_left(counts.total) if batch.status == v1.BATCH_STATUS_IN_PROGRESS else None
    return _joined(
        f"{counts.completed:,}/{counts.total:,} done",
        f"{counts.failed:,} failed",
        f"{rate:,.1f} lines/s" if rate is not None else None,
        f"{duration(left)} left" if left is not None else None,
    )


def ended_lines(batch: v1.Batch) -> int:
    """Lines that have run, well or not."""
    return batch.request_counts.completed + batch.request_counts.failed


def _joined(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part is not None)
