"""The task queue: leasing, reporting and reading."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import Batch, File, InputError, Segment, Shard, Task, TaskKind

CONTROL_KINDS = (TaskKind.VALIDATE, TaskKind.EXPIRE, TaskKind.FINALIZE)
"""Kinds that need no upstream. A running worker claims them within seconds, however busy it is."""

QUARANTINE_AFTER_CRASHES = 3
"""A shard is quarantined after this many crashes in a row: it runs alone, line by line."""

CRASH_DELAY_MS = 10_000
"""A task of any other kind waits this long after as many crashes in a row."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A worker's request for tasks.

    Attributes:
        worker: the holder of the leases.
        kinds: the task kinds to claim.
        ttl_s: seconds that the leases last.
        limit: the largest number of tasks.
        full_models: models whose shards are skipped.
        saturated: (model, tenant) pairs whose shards are skipped.
        max_shards: the largest number of ready shards of a model. Expired leases are exempt.
            Models without an entry have no limit of their own.
        quarantined: True claims quarantined shards and nothing else; False skips them.
        expired_before: takes over leases that expired before this instant of the database's clock,
            in milliseconds. None means now.
    """

    worker: str
    kinds: Collection[TaskKind]
    ttl_s: float = field(kw_only=True)
    limit: int = field(default=1, kw_only=True)
    full_models: Collection[str] = field(default=(), kw_only=True)
    saturated: Collection[tuple[str, str]] = field(default=(), kw_only=True)
    max_shards: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    quarantined: bool = field(default=False, kw_only=True)
    expired_before: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that a worker holds, and the status of its batch."""

    id: int
    epoch: int
    batch_status: BatchStatus | None


@dataclass(frozen=True, slots=True)
class ShardReport:
    """A worker's progress with one shard: a new segment or None, and whether the shard is done."""

    task: Task
    segment: Segment | None
    done: bool


@dataclass(frozen=True, slots=True)
class CompletedShard:
    """A shard that no worker runs any more, and its recorded segments."""

    model: str
    shard: Shard
    segments: list[Segment]


@dataclass(frozen=True, slots=True)
class BatchOutputs:
    """The files of an ended batch, None where there is nothing to write, and its unrun lines."""

    output: File | None
    error: File | None
    unrun: int


class TaskLeasing(Protocol):
    """Leases of tasks.

    Methods that take a Task are fenced: they raise LeaseLostError if its epoch has moved on.
    """

    async def claim(self, request: ClaimRequest) -> list[Task]:
        """Lease up to `limit` tasks that are due, and return them by id.

        Expired leases come first, then tasks of the tenant with the fewest shards at work, then the
        earliest deadline.
        """

    async def renew(self, worker: str, ttl: float) -> int:
        """Make all leases of a worker last `ttl` seconds from now; return the database's clock."""

    async def release(self, task: Task | HeldTask, delay: float = 0.0) -> None:
        """Return a task to the queue, claimable after `delay` seconds."""

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """Release all tasks of a worker and of the workers below it (`worker/…`); return the count.

        With `crashed`, each task's crashes grow by one. A task that is not a shard is then delayed
        by `CRASH_DELAY_MS` once it has crashed `QUARANTINE_AFTER_CRASHES` times.
        """

    async def mark_suspect(self, task: Task, line: int | None) -> None:
        """Record durably which line runs alone next and may be the poison pill.

        None: no line does.
        """


class TaskReporting(Protocol):
    """Results of tasks, each reported in one transaction.

    Methods that take a Task are fenced: they raise LeaseLostError if its epoch has moved on.
    """

    async def accept(self, task: Task, model: str | None, shards: Sequence[tuple[str, Shard]]) -> None:
        """End a validation that found no error: the batch is in progress, its shards are queued."""

    async def reject(self, task: Task, errors: Sequence[InputError]) -> None:
        """End a validation that found errors: the batch has failed."""

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        """Record finished lines and shards in one step; return the tasks whose lease was lost.

        Nothing is recorded of a lost task. Recording a segment again changes nothing. When the last
        shard of a batch is done, the batch moves to finalizing.
        """

    async def expire(self, task: Task) -> None:
        """End a batch's window: shards that have not started never will."""

    async def finish(self, task: Task, status: BatchStatus, outputs: BatchOutputs, lifetime: int) -> None:
        """End a batch: its files, which live `lifetime` seconds, and its status, in one step."""

    async def complete(self, task: Task) -> None:
        """Delete a task that has nothing to report."""


class TaskReading(Protocol):
    """The state of the queue and of tasks."""

    async def held(self, worker: str) -> list[HeldTask]:
        """Return the tasks that a worker holds."""

    async def quarantine_waits(self) -> bool:
        """Return whether a quarantined shard can be claimed."""

    async def overdue(self, seconds: float) -> bool:
        """Return whether a task of `CONTROL_KINDS` has been claimable for `seconds`.

        If so, no worker is running.
        """

    async def model_shares(self) -> dict[str, int]:
        """Return how many workers hold shards of each model."""

    async def batch_of(self, task: Task) -> Batch:
        """Return a task's batch. Raises LeaseLostError if it no longer exists."""

    async def segments_of(self, task: Task) -> list[Segment]:
        """Return the recorded segments of a shard."""

    async def shards_of(self, batch_id: str) -> list[CompletedShard]:
        """Return the shards of a batch by window."""


class TaskQueue(TaskLeasing, TaskReporting, TaskReading, Protocol):
    """The whole queue."""
