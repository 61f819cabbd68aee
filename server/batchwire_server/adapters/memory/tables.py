"""The tables of the memory store: dicts of frozen records, which are replaced and never changed.

A transaction works on a copy of the dicts, which replaces them when it commits. No transaction
waits for anything, so they run one after the other. Before and after each, other tasks of the event
loop run, as they do while a database works.
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
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, HeldTask, Page
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
    """A task in the queue: `ready` (from `not_before`), `leased`, or `done`.

    A task that is done is kept until its batch ends.
    """

    task: Task
    not_before: int
    state: str = "ready"
    lease_owner: str | None = None
    lease_until: int = 0

    def is_due(self, now: int, expired_before: int | None = None) -> bool:
        """Return whether it is ready, or its lease expired by `expired_before` (None: by now)."""
        expired = self.state == "leased" and self.lease_until <= (now if expired_before is None else expired_before)
        return (self.state == "ready" and self.not_before <= now) or expired

    @property
    def crashes(self) -> int:
        """Crashes in a row. A holder whose lease expired has crashed or hangs."""
        return self.task.crashes + (self.state == "leased")

    @property
    def is_shard(self) -> bool:
        """True if it is a shard."""
        return self.task.kind is TaskKind.RUN

    @property
    def is_quarantined(self) -> bool:
        """True if it is a quarantined shard."""
        return self.is_shard and self.crashes >= QUARANTINE_AFTER_CRASHES

    def ended(self) -> Queued:
        """Return it as done."""
        return replace(self, state="done", lease_owner=None, lease_until=0)


@dataclass(slots=True)
class Tables:
    """All records, by id unless said otherwise.

    Attributes:
        deleted_files: files that are deleted but not yet forgotten.
        calls: fingerprint of the call and id of its batch, by tenant and idempotency key.
        last_task_id: ids are part of the fence, so none is used for a second task.
        segments: by batch id and blob key, in the order of recording.
        keys: API keys by digest.
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
        """Return new tables with the same records."""
        dicts: dict[str, Any] = {
            each.name: dict(table) for each in fields(self) if isinstance(table := getattr(self, each.name), dict)
        }
        return replace(self, **dicts)

    def add_task(self, kind: TaskKind, batch: Batch, not_before: int, **more: Any) -> None:
        """Queue a task of a batch."""
        values: dict[str, Any] = {"batch_id": batch.id, "tenant": batch.tenant, "deadline": batch.expires_at, **more}
        self._queue(kind, not_before, values)

    def add_sweeps(self) -> None:
        """Queue the tasks that are never done: each run releases them for the next."""
        for kind in (TaskKind.SWEEP, TaskKind.ORPHANS):
            self._queue(kind, 0, {"batch_id": None, "tenant": None, "deadline": None})

    def _queue(self, kind: TaskKind, not_before: int, values: Mapping[str, Any]) -> None:
        self.last_task_id += 1
        given = {"model": None, "shard": None, **values}
        task = Task(id=self.last_task_id, kind=kind, epoch=0, attempts=0, claimed_at=0, **given)
        self.tasks[task.id] = Queued(task, not_before)

    def tasks_of(self, batch_id: str | None) -> list[Queued]:
        """Return the tasks of a batch, by id."""
        return [queued for queued in self.tasks.values() if queued.task.batch_id == batch_id]

    def drop_tasks(self, batch_id: str | None) -> None:
        """Delete the tasks of a batch."""
        for queued in self.tasks_of(batch_id):
            del self.tasks[queued.task.id]

    def leased_shards(self, now: int) -> list[Queued]:
        """Return the shards whose leases have not expired."""
        leased = [queued for queued in self.tasks.values() if queued.state == "leased" and queued.is_shard]
        return [queued for queued in leased if queued.lease_until > now]

    def held_by(self, worker: str) -> list[Queued]:
        """Return the tasks that a worker holds."""
        return [queued for queued in self.tasks.values() if queued.state == "leased" and queued.lease_owner == worker]

    def held(self, task: Task | HeldTask) -> Queued:
        """Return a task that is still held. Raises LeaseLostError once its epoch has moved on."""
        queued = self.tasks.get(task.id)
        if queued is None or queued.state != "leased" or queued.task.epoch != task.epoch:
            raise LeaseLostError
        return queued

    def end_task(self, task: Task) -> None:
        """Mark a task as done. Raises LeaseLostError."""
        self.tasks[task.id] = self.held(task).ended()


def insert(table: dict[K, V], key: K, record: V) -> None:
    """Add a record under a key that must be new."""
    if key in table:
        raise KeyError(key)
    table[key] = record


def creation_order(record: Listed) -> tuple[int, str]:
    """Return the sort key for the order of creation."""
    return record.created_at, record.id


def page_after(
    shown: list[Listed], anchor: Listed | None, tenant: str, after: str, limit: int, *, oldest_first: bool = False
) -> Page[Listed] | None:
    """Return a page in the order of creation.

    Returns None if `after` is not empty and its record (`anchor`) is missing or another tenant's.
    """
    ordered = sorted(shown, key=creation_order, reverse=not oldest_first)
    if after:
        if anchor is None or anchor.tenant != tenant:
            return None
        place = creation_order(anchor)
        ordered = [
            one for one in ordered if (creation_order(one) > place if oldest_first else creation_order(one) < place)
        ]
    return Page(ordered[:limit], len(ordered) > limit)


def wall_clock() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Memory:
    """The tables, their clock and their change feed.

    Args:
        now: returns milliseconds since the epoch.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.changes = Changes()
        self.tables = Tables()
        self.tables.add_sweeps()

    async def read(self) -> Tables:
        """Let other tasks run, then return the current tables. The caller must not change them."""
        await asyncio.sleep(0)
        return self.tables

    @asynccontextmanager
    async def write(self, *, quiet: bool = False) -> AsyncIterator[Tables]:
        """Open a transaction. It commits if its context ends without an exception.

        Unless it is `quiet`, a commit that changes something notifies the change feed.
        """
        await asyncio.sleep(0)
        draft = self.tables.copy()
        yield draft
        if draft != self.tables:
            self.tables = draft
            if not quiet:
                self.changes.changed()
        await asyncio.sleep(0)
