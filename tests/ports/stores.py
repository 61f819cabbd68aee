"""Harnesses of the stores, one class per adapter. `conftest.py` makes a new one for each test."""

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
FROZEN_AT_MS = 4_000_000_000_000
"""A time in the far future, in milliseconds."""
RUN_KINDS = [TaskKind.RUN]
OTHER_KINDS = [TaskKind.VALIDATE, TaskKind.EXPIRE, TaskKind.FINALIZE]


def a_file(tenant: str = "acme", purpose: str = "batch", **more: Any) -> File:
    """Return a file with a new id."""
    file_id = ids.file_id()
    made = File(file_id, tenant, "in.jsonl", purpose, 10, "0" * 64, 1, blob_keys.file_key(file_id))
    return replace(made, **more)


def an_upload(tenant: str = "acme") -> Upload:
    """Return an upload with a new id."""
    return Upload(ids.upload_id(), tenant, "in.jsonl", "batch", 10, None)


def a_batch(tenant: str = "acme", **more: Any) -> Batch:
    """Return a batch with a new id."""
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
    """Return consecutive shards."""
    return [(model, Shard(number, number * 100, 100, number * lines + 1, lines)) for number in range(count)]


def segment(task: Task, number: int = 0, *, completed: int = 1, failed: int = 0, size: int = 20) -> Segment:
    """Return a segment with the given counts."""
    key = blob_keys.segment_key(str(task.batch_id), task.id, task.epoch, number)
    return Segment(task.id, key, 10, size, completed, failed, Usage(1, 2, 3, 4, 5))


class Store(FileStore, BatchStore, TaskQueue, GarbageStore, KeyStore, WebhookStore, Protocol):
    """All store ports in one, as each adapter implements them."""


class StoreHarness(ABC):
    """A store, and what tests need besides its ports: to move its clock and to read its rows."""

    store: Store

    @abstractmethod
    def changes(self) -> AbstractAsyncContextManager[ChangeFeed]:
        """Run the store's change feed."""

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Move the store's clock forward."""

    @abstractmethod
    async def freeze_clock(self) -> None:
        """Stop the store's clock at FROZEN_AT_MS."""

    @abstractmethod
    async def expire_lease(self, task: Task) -> None:
        """Make the lease of one task expire."""

    @abstractmethod
    async def all_tasks(self) -> list[dict[str, Any]]:
        """Return the stored values of all tasks, by field name."""

    @abstractmethod
    async def all_segments(self) -> list[Segment]:
        """Return all segments."""

    @abstractmethod
    async def stored_files(self) -> list[Any]:
        """Return all stored values of files, including deleted ones, for comparison."""

    @abstractmethod
    async def stored_batch(self, batch: Batch) -> Any:
        """Return all stored values of a batch, for comparison."""

    async def tasks(self, batch: Batch, kind: TaskKind | None = None) -> list[dict[str, Any]]:
        """Return the stored values of a batch's tasks."""
        tasks = [task for task in await self.all_tasks() if task["batch_id"] == batch.id]
        return [task for task in tasks if kind is None or task["kind"] == kind]

    async def lease_end(self, task: Task | HeldTask) -> int:
        """Return when a task's lease expires."""
        (kept,) = [each for each in await self.all_tasks() if each["id"] == task.id]
        return int(kept["lease_until"])

    async def status(self, batch: Batch) -> BatchStatus:
        """Return the status of a batch."""
        found = await self.store.get_batch(batch.tenant, batch.id)
        assert found
        return found.status

    async def claim_one(self, kind: TaskKind, worker: str = "w1", **more: Any) -> Task:
        """Claim the only due task of a kind."""
        (task,) = await self.store.claim(ClaimRequest(worker, [kind], ttl_s=TTL, **more))
        return task

    async def start_batch(
        self, batch: Batch | None = None, parts: Sequence[tuple[str, Shard]] | None = None, worker: str = "w1"
    ) -> Batch:
        """Add a batch and accept it with some shards; return it in progress."""
        added = await self.store.add_batch(batch or a_batch())
        task = await self.claim_one(TaskKind.VALIDATE, worker)
        assert task.batch_id == added.id
        await self.store.accept(task, "m", parts if parts is not None else shards(1))
        found = await self.store.get_batch(added.tenant, added.id)
        assert found
        return found

    async def batch_in(self, status: BatchStatus) -> tuple[Batch, Task | None]:
        """Bring a new batch to a status; return it with the task that is leased then, if any."""
        store = self.store
        task: Task | None = None
        if status in {BatchStatus.VALIDATING, BatchStatus.FAILED}:
            batch = await store.add_batch(a_batch())
            task = await self.claim_one(TaskKind.VALIDATE)
            if status is BatchStatus.FAILED:
                await store.reject(task, [])
                task = None
            return batch, task
        batch = await self.start_batch()
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
