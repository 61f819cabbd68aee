"""Stores to test against: each over a fresh database, all with the same schema.

Another database becomes one more parameter of the fixture `database_url` in `conftest.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.tables import BATCH, TASK
from batchwire_server.core import ids
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import Harvest, Leftovers
from batchwire_server.core.records import Batch, File, Segment, Shard, Task, TaskKind, Upload, Usage
from sqlalchemy import select, text

TTL = 30.0
RUN_KINDS = [TaskKind.RUN]
OTHER_KINDS = [TaskKind.VALIDATE, TaskKind.EXPIRE, TaskKind.FINALIZE]


def a_file(tenant: str = "acme", purpose: str = "batch", **more: Any) -> File:
    """Returns a file that nobody else has."""
    file_id = ids.file_id()
    made = File(file_id, tenant, "in.jsonl", purpose, 10, "0" * 64, 1, f"files/{file_id}")
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
    key = f"segments/{task.batch_id}/{task.id}-{task.epoch}-{number}"
    return Segment(task.id, key, 10, size, completed, failed, Usage(1, 2, 3, 4, 5))


@dataclass(frozen=True, slots=True)
class Stage:
    """A store, and ways around its port: to look behind it and to let time pass."""

    store: SqlStore
    database: Database

    async def all_of(self, table: Any) -> list[dict[str, Any]]:
        """Returns the rows of a table."""
        async with self.database.read() as connection:
            return [dict(row) for row in (await connection.execute(select(table))).mappings()]

    async def batch_row(self, batch: Batch) -> dict[str, Any]:
        """Returns a batch's row."""
        (row,) = [row for row in await self.all_of(BATCH) if row["id"] == batch.id]
        return row

    async def tasks(self, batch: Batch, kind: TaskKind | None = None) -> list[dict[str, Any]]:
        """Returns the rows of a batch's tasks."""
        rows = [row for row in await self.all_of(TASK) if row["batch_id"] == batch.id]
        return [row for row in rows if kind is None or row["kind"] == kind]

    async def age(self, table: str, column: str, seconds: float, where: str = "1 = 1") -> None:
        """Makes the instants of a column lie some seconds earlier."""
        statement = f"UPDATE {table} SET {column} = {column} - {int(seconds * 1000)} WHERE {where}"
        async with self.database.write() as connection:
            await connection.execute(text(statement))

    async def lapse(self, task: Task) -> None:
        """Lets a task's lease run out."""
        await self.age("task", "lease_until", TTL * 100, f"id = {task.id}")

    async def lease_end(self, task: Task) -> int:
        """Returns when a task's lease runs out."""
        (row,) = [row for row in await self.all_of(TASK) if row["id"] == task.id]
        return int(row["lease_until"])

    async def status(self, batch: Batch) -> BatchStatus:
        """Returns where a batch stands."""
        found = await self.store.get_batch(batch.tenant, batch.id)
        assert found
        return found.status

    async def claim_one(self, kind: TaskKind, worker: str = "w1", **more: Any) -> Task:
        """Claims the one task of a kind that is due."""
        (task,) = await self.store.claim(worker, [kind], ttl=TTL, **more)
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
        await store.record([Harvest(task, None, done=True)])
        task = await self.claim_one(TaskKind.FINALIZE)
        if status is not BatchStatus.FINALIZING:
            await store.finish(task, status, Leftovers(None, None, 0), 100)
            task = None
        return batch, task
