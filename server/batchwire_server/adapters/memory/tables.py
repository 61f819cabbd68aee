"""What the memory store keeps: frozen records in dicts, which are replaced and never changed.

A transaction works on a copy of the dicts, which takes their place when it ends well. Nothing waits within one, so they come one after the
other; before and after it others get their turn, as they do while a database works.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from batchwire_server.adapters.changes import Changes
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.ports import HeldTask, Page
from batchwire_server.core.records import (
    ApiKey,
    Batch,
    File,
    Segment,
    Task,
    TaskKind,
    Upload,
    UploadPart,
    WebhookEndpoint,
)

K = TypeVar("K")
V = TypeVar("V")
Listed = TypeVar("Listed", File, Batch, WebhookEndpoint)


@dataclass(frozen=True, slots=True)
class Queued:
    """A task in the queue: `ready` (from `not_before` on), `leased`, or `done` and kept until its batch ends."""

    task: Task
    not_before: int
    state: str = "ready"
    lease_owner: str | None = None
    lease_until: int = 0

    def has_lapsed(self, now: int) -> bool:
        """Tells whether its lease has run out."""
        return self.state == "leased" and self.lease_until <= now

    def is_due(self, now: int, expired_before: int | None = None) -> bool:
        """Tells whether it may be claimed; another's lease must have run out at `expired_before`, or else by now."""
        lapsed = self.has_lapsed(now if expired_before is None else expired_before)
        return (self.state == "ready" and self.not_before <= now) or lapsed

    @property
    def crashes(self) -> int:
        """Crashes in a row, once its lease has run out: whoever held it has ended, or stands still."""
        return self.task.crashes + (self.state == "leased")

    @property
    def is_shard(self) -> bool:
        """Tells whether it is a shard to run."""
        return self.task.kind is TaskKind.RUN

    def ended(self) -> Queued:
        """Returns it as done."""
        return replace(self, state="done", lease_owner=None, lease_until=0)


@dataclass(slots=True)
class Tables:
    """All that is kept.

    Attributes:
        deleted_files: files that nobody sees any more, until they are forgotten.
        calls: by tenant and idempotency key: the fingerprint of the call, and the id of the batch that it created.
        segments: by ids of their batches and keys of their blobs, in the order of their recording.
        last_task_id: an id is part of the fence: one that is free again is not given to another task.
        keys: by digest.
    """

    files: dict[str, File] = field(default_factory=dict)
    deleted_files: dict[str, File] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    parts: dict[str, UploadPart] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    calls: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    tasks: dict[int, Queued] = field(default_factory=dict)
    last_task_id: int = 0
    segments: dict[tuple[str, str], Segment] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    endpoints: dict[str, WebhookEndpoint] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Returns tables of the same records."""
        dicts: dict[str, Any] = {
            each.name: dict(table) for each in fields(self) if isinstance(table := getattr(self, each.name), dict)
        }
        return replace(self, **dicts)

    def add_task(self, kind: TaskKind, batch: Batch, not_before: int, **more: Any) -> None:
        """Queues a task of a batch."""
        values: dict[str, Any] = {"batch_id": batch.id, "tenant": batch.tenant, "deadline": batch.expires_at, **more}
        self._queue(kind, not_before, values)

    def add_sweeps(self) -> None:
        """Queues the tasks that are there from the beginning, and go back into the queue each time they are done."""
        for kind in (TaskKind.SWEEP, TaskKind.ORPHANS):
            self._queue(kind, 0, {"batch_id": None, "tenant": None, "deadline": None})

    def _queue(self, kind: TaskKind, not_before: int, values: Mapping[str, Any]) -> None:
        self.last_task_id += 1
        given = {"model": None, "shard": None, **values}
        task = Task(id=self.last_task_id, kind=kind, epoch=0, attempts=0, claimed_at=0, **given)
        self.tasks[task.id] = Queued(task, not_before)

    def tasks_of(self, batch_id: str | None) -> list[Queued]:
        """Returns the tasks of a batch by id."""
        return [queued for queued in self.tasks.values() if queued.task.batch_id == batch_id]

    def drop_tasks(self, batch_id: str | None) -> None:
        """Forgets the tasks of a batch."""
        for queued in self.tasks_of(batch_id):
            del self.tasks[queued.task.id]

    def held(self, task: Task | HeldTask) -> Queued:
        """Returns a task that is leased as its holder believes. Raises LeaseLostError once its epoch has moved on."""
        queued = self.tasks.get(task.id)
        if queued is None or queued.state != "leased" or queued.task.epoch != task.epoch:
            raise LeaseLostError
        return queued

    def end_task(self, task: Task) -> None:
        """Marks a task as done. Raises LeaseLostError."""
        self.tasks[task.id] = self.held(task).ended()


def insert(table: dict[K, V], key: K, record: V) -> None:
    """Adds a record under a key that must be new."""
    if key in table:
        raise KeyError(key)
    table[key] = record


def by_age(record: Listed) -> tuple[int, str]:
    """Returns where a record stands in the order of creation."""
    return record.created_at, record.id


def page_after(
    shown: list[Listed], anchor: Listed | None, tenant: str, after: str, limit: int, *, oldest_first: bool = False
) -> Page[Listed] | None:
    """Returns a page in the order of creation; None when there is an `after`, and its record is not there or another tenant's."""
    ordered = sorted(shown, key=by_age, reverse=not oldest_first)
    if after:
        if anchor is None or anchor.tenant != tenant:
            return None
        place = by_age(anchor)
        ordered = [one for one in ordered if (by_age(one) > place if oldest_first else by_age(one) < place)]
    return Page(ordered[:limit], len(ordered) > limit)


def wall_clock() -> int:
    """Returns milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Memory:
    """Tables, the clock that they go by, and word of their changes.

    Args:
        now: returns milliseconds since the epoch.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.changes = Changes()
        self.tables = Tables()
        self.tables.add_sweeps()

    async def read(self) -> Tables:
        """Returns the tables as they stand, after letting others work. They are not to be changed."""
        await asyncio.sleep(0)
        return self.tables

    @asynccontextmanager
    async def write(self, *, quiet: bool = False) -> AsyncIterator[Tables]:
        """Opens a transaction: what its context changes counts when that ends well, and is told to who waits for a change unless it is `quiet`."""
        await asyncio.sleep(0)
        draft = self.tables.copy()
        yield draft
        if draft != self.tables:
            self.tables = draft
            if not quiet:
                self.changes.changed()
        await asyncio.sleep(0)
