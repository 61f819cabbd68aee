"""What becomes of a batch on the fake server."""

import threading
from collections.abc import Callable

from batchwire import v1

# A step of a batch is its next snapshot, or an event to wait for before going on.
Step = v1.Batch | threading.Event
Plan = Callable[[v1.Batch, list[bytes]], list[Step]]


def changed(batch: v1.Batch, **fields: object) -> v1.Batch:
    """A copy of the batch with other values."""
    copy = v1.Batch()
    copy.CopyFrom(batch)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def snapshot(
    batch: v1.Batch, status: v1.BatchStatus.ValueType, total: int = 0, completed: int = 0, failed: int = 0
) -> v1.Batch:
    """The batch at another point of its life, with the files that it leaves when it has ended."""
    moved = changed(batch, status=status)
    moved.request_counts.CopyFrom(v1.RequestCounts(total=total, completed=completed, failed=failed))
    if status in {v1.BATCH_STATUS_COMPLETED, v1.BATCH_STATUS_EXPIRED, v1.BATCH_STATUS_CANCELLED}:
        if completed:
            moved.output_file_id = f"{batch.id}-output"
        if failed:
            moved.error_file_id = f"{batch.id}-errors"
    return moved


def completes(batch: v1.Batch, lines: list[bytes], failed: int = 0) -> list[Step]:
    """A plan in which every line runs, and the last ones fail."""
    total = len(lines)
    return [
        snapshot(batch, v1.BATCH_STATUS_IN_PROGRESS, total),
        snapshot(batch, v1.BATCH_STATUS_IN_PROGRESS, total, total - failed),
        snapshot(batch, v1.BATCH_STATUS_FINALIZING, total, total - failed, failed),
        snapshot(batch, v1.BATCH_STATUS_COMPLETED, total, total - failed, failed),
    ]


def waits_for(event: threading.Event) -> Plan:
    """A plan in which the lines run until the event is set, and then complete."""

    def plan(batch: v1.Batch, lines: list[bytes]) -> list[Step]:
        started, *rest = completes(batch, lines)
        return [started, event, *rest]

    return plan
