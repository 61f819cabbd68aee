"""Plans: the states through which a batch passes on the fake server."""

from __future__ import annotations

import threading
from collections.abc import Callable

from batchwire import v1

Step = v1.Batch | threading.Event
"""The next snapshot of a batch, or an event to wait for."""

Plan = Callable[[v1.Batch, list[bytes]], list[Step]]


def changed(batch: v1.Batch, **fields: object) -> v1.Batch:
    """Return a copy of the batch with changed fields."""
    copy = v1.Batch()
    copy.CopyFrom(batch)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def snapshot(
    batch: v1.Batch, status: v1.BatchStatus.ValueType, total: int = 0, completed: int = 0, failed: int = 0
) -> v1.Batch:
    """Return the batch with another status and counts, and with its files if it has ended."""
    moved = changed(batch, status=status)
    moved.request_counts.CopyFrom(v1.RequestCounts(total=total, completed=completed, failed=failed))
    if status in {v1.BATCH_STATUS_COMPLETED, v1.BATCH_STATUS_EXPIRED, v1.BATCH_STATUS_CANCELLED}:
        if completed:
            moved.output_file_id = f"{batch.id}-output"
        if failed:
            moved.error_file_id = f"{batch.id}-errors"
    return moved


def completes(batch: v1.Batch, lines: list[bytes], failed: int = 0) -> list[Step]:
    """Return a plan in which every line runs, and the last `failed` ones fail."""
    total = len(lines)
    return [
        snapshot(batch, v1.BATCH_STATUS_IN_PROGRESS, total),
        snapshot(batch, v1.BATCH_STATUS_IN_PROGRESS, total, total - failed),
        snapshot(batch, v1.BATCH_STATUS_FINALIZING, total, total - failed, failed),
        snapshot(batch, v1.BATCH_STATUS_COMPLETED, total, total - failed, failed),
    ]


def waits_for(event: threading.Event) -> Plan:
    """Return a plan that stays in progress until the event is set, and then completes."""

    def plan(batch: v1.Batch, lines: list[bytes]) -> list[Step]:
        started, *rest = completes(batch, lines)
        return [started, event, *rest]

    return plan
