"""Stores to test against. Each adapter has a Stage of its own, which `conftest.py` makes anew for each test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import (
    BatchOutputs,
    BatchStore,
    ChangeFeed,
    ClaimRequest,
    FileStore,
    GarbageStore,
    HeldTask,
    KeyStore,
    ShardReport,
    TaskQueue,
    WebhookStore,
)
from batchwire_server.core.records import Batch, File, Segment, Shard, Task, TaskKind, Upload, Usage

TTL = 30.0
MIDNIGHT = 4_000_000_000_000
"""An instant that no clock shows by itself, in milliseconds."""
RUN_KINDS = [TaskKind.RUN]
OTHER_KINDS = [TaskKind.VALIDATE, TaskKind.EXPIRE, TaskKind.FINALIZE]


def a_file(tenant: str = "acme", purpose: str = "batch", **more: Any) -> File:
    """Returns a file that nobody else has."""
    file_id = ids.file_id()
    made = File(file_id, tenant, "in.jsonl", purpose, 10, "0" * 64, 1, blob_keys.file_key(file_id))
    return replace(made, **more)


def an_upload(tenant: str = "acme") -> Upload:
    """Returns an upload that nobody else has."""
    return Upload(ids.upload_id(), tenant, "in.jsonl", "batch", 10, None)


def a_batch(tenant: str = "acme", **more: Any) -> Batch:
    """Returns a batch that nobody else has."""
    made = Batch(
        id=ids.batch_id(),
        tenant=tenant,
        endpoint="/v1/completions",
        input_file_id="file-1",
        input_key="files/file-1",
        input_bytes=100,
        completion_window="24h",
        window_seconds=86400,
        output_lifetime=None,
        metadata={"team": "ü"},
    )
    return replace(made, **more)


def shards(count: int, model: str = "m", lines: int = 10) -> list[tuple[str, Shard]]:
    """Returns shards that follow each other."""
    return [(model, Shard(number, number * 100, 100, number * lines + 1, lines)) for number in range(count)]


def segment(task: Task, number: int = 0, *, completed: int = 1, failed: int = 0, size: int = 20) -> Segment:
    """Returns a segment that says what it says."""
    key = blob_keys.segment_key(str(task.batch_id), task.id, task.epoch, number)
    return Segment(task.id, key, 10, size, completed, failed, Usage(1, 2, 3, 4, 5))


class Store(FileStore, BatchStore, TaskQueue, GarbageStore, KeyStore, WebhookStore, Protocol):
    """All store ports in one, as each adapter has them."""


class Stage(ABC):
    """A store, and ways around its port: to look behind it and to let time pass."""

    store: Store

    @abstractmethod
    def changes(self) -> AbstractAsyncContextManager[ChangeFeed]:
        """Runs the feed of the store's changes."""

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Lets time pass for the store."""

    @abstractmethod
    async def stop_the_clock(self) -> None:
        """Makes all that follows happen in one instant, at MIDNIGHT."""

    @abstractmethod
    async def let_lease_lapse(self, task: Task) -> None:
        """Lets one task's lease run out, and no other's."""

    @abstractmethod
    async def all_tasks(self) -> list[dict[str, Any]]:
        """Returns all that is kept of tasks, each under names of its fields."""

    @abstractmethod
    async def all_segments(self) -> list[Segment]:
        """Returns all segments."""

    @abstractmethod
    async def kept_files(self) -> list[Any]:
        """Returns all that is kept of files, deleted ones too, to be compared."""

    @abstractmethod
    async def kept_of(self, batch: Batch) -> Any:
        """Returns all that is kept of a batch itself, to be compared."""

    async def tasks(self, batch: Batch, kind: TaskKind | None = None) -> list[dict[str, Any]]:
        """Returns what is kept of a batch's tasks."""
        tasks = [task for task in await self.all_tasks() if task["batch_id"] == batch.id]
        return [task for task in tasks if kind is None or task["kind"] == kind]

    async def lease_end(self, task: Task | HeldTask) -> int:
        """Returns when a task's lease runs out."""
        (kept,) = [each for each in await self.all_tasks() if each["id"] == task.id]
        return int(kept["lease_until"])

    async def status(self, batch: Batch) -> BatchStatus:
        """Returns where a batch stands."""
        found = await self.store.get_batch(batch.tenant, batch.id)
        assert found
        return found.status

    async def claim_one(self, kind: TaskKind, worker: str = "w1", **more: Any) -> Task:
        """Claims the one task of a kind that is due."""
        (task,) = await self.store.claim(ClaimRequest(worker, [kind], ttl_s=TTL, **more))
        return task

    async def started(
        self, batch: Batch | None = None, parts: Sequence[tuple[str, Shard]] | None = None, worker: str = "w1"
    ) -> Batch:
        """Adds a batch and accepts it; returns it as it then stands."""
        added = await self.store.add_batch(batch or a_batch())
        task = await self.claim_one(TaskKind.VALIDATE, worker)
        assert task.batch_id == added.id
        await self.store.accept(task, "m", parts if parts is not None else shards(1))
        found = await self.store.get_batch(added.tenant, added.id)
        assert found
        return found

    async def at(self, status: BatchStatus) -> tuple[Batch, Task | None]:
        """Brings a new batch to a state; returns it with the task that is leased then, if one is."""
        store = self.store
        task: Task | None = None
        if status in {BatchStatus.VALIDATING, BatchStatus.FAILED}:
            batch = await store.add_batch(a_batch())
            task = await self.claim_one(TaskKind.VALIDATE)
            if status is BatchStatus.FAILED:
                await store.reject(task, [])
                task = None
            return batch, task
        batch = await self.started()
        task = await self.claim_one(TaskKind.RUN)
        if status is BatchStatus.IN_PROGRESS:
            return batch, task
        if status in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
            await store.cancel_batch(batch.tenant, batch.id)
        if status is BatchStatus.CANCELLING:
            return batch, task
        await store.record([ShardReport(task, None, done=True)])
        task = await self.claim_one(TaskKind.FINALIZE)
        if status is not BatchStatus.FINALIZING:
            await store.finish(task, status, BatchOutputs(None, None, 0), 100)
            task = None
        return batch, task
