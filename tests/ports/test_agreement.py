"""The SQL and the memory stores agree: the same calls get the same results."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from batchwire_server.core.errors import BatchwireError, LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchOutputs, ClaimRequest, IdempotencyKey, ShardReport
from batchwire_server.core.records import (
    Batch,
    File,
    InputError,
    Segment,
    Shard,
    Task,
    TaskKind,
    Usage,
    WebhookEndpoint,
)
from batchwire_server.core.webhooks import EVENT_TYPES

from tests.ports.memory_harness import MemoryHarness
from tests.ports.sql_harness import SqlHarness, over_sql
from tests.ports.stores import StoreHarness, a_batch, a_file

STEPS = 120
TENANTS = ("acme", "other")
WORKERS = ("node", "node/0", "w1")
MODELS = ("m", "n")


class Caller:
    """Makes random calls and records the results.

    Equal seeds make equal calls while results are equal.

    Ids that a store generates itself (of events) are not recorded.
    """

    def __init__(self, harness: StoreHarness, seed: int) -> None:
        self._harness = harness
        self._store = harness.store
        self._random = random.Random(seed)
        self._batches: list[Batch] = []
        self._files: list[File] = []
        self._tasks: list[Task] = []
        self._count = 0
        self.notes: list[tuple[str, Any]] = []
        self._calls: list[tuple[int, Callable[[], Awaitable[Any]]]] = [
            (3, self.add_batch),
            (1, self.cancel),
            (12, self.claim),
            (8, self.report),
            (4, self.record),
            (2, self.release),
            (2, self.release_worker),
            (2, self.renew),
            (2, self.mark_suspect),
            (3, self.add_file),
            (1, self.delete_file),
            (2, self.list_files),
            (1, self.newest_needed),
            (2, self.sweep),
            (6, self.advance),
        ]

    async def walk(self) -> list[tuple[str, Any]]:
        for tenant in TENANTS:
            endpoint = WebhookEndpoint(f"whe-{tenant}", tenant, "n", "https://example.com/", EVENT_TYPES[:3], "whsec_a")
            await self._store.add_webhook_endpoint(endpoint)
        weights = [weight for weight, _ in self._calls]
        for _ in range(STEPS):
            (_, call), *_ = self._random.choices(self._calls, weights)
            try:
                answer = await call()
            except (LeaseLostError, BatchwireError) as refused:
                answer = repr(refused)
            self.notes.append((call.__name__, answer))
            self.notes.append(("then", await self._seen()))
        return self.notes

    async def _seen(self) -> Any:
        store = self._store
        return (
            [await store.get_batch(batch.tenant, batch.id) for batch in self._batches],
            [await store.segments_from(batch.id, 0, 99) for batch in self._batches],
            [await store.get_file(file.tenant, file.id) for file in self._files],
            [sorted(await store.held(worker), key=lambda held: held.id) for worker in WORKERS],
            await store.model_shares(),
            await store.quarantine_waits(),
            await store.garbage(99, 60),
            sorted(
                (task["id"], task["kind"], task["state"], task["epoch"], task["crashes"], task["not_before"])
                for task in await self._harness.all_tasks()
            ),
        )

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count:04d}"

    async def add_batch(self) -> Any:
        batch = a_batch(self._random.choice(TENANTS), window_seconds=self._random.choice([60, 3600]))
        key = self._random.choice([None, *(file.blob_key for file in self._files)])
        once = self._random.choice([None, None, IdempotencyKey(self._random.choice("ab"), self._random.choice("xy"))])
        named = replace(batch, id=self._name("batch"), input_key=key)
        added = await self._store.add_batch(named, once, self._random.choice([0, 3]))
        if added.id == named.id:
            self._batches.append(added)
        return added

    async def cancel(self) -> Any:
        if self._batches:
            await self._store.cancel_batch(self._random.choice(TENANTS), self._random.choice(self._batches).id)

    async def claim(self) -> Any:
        is_run = self._random.random() < 0.5
        kinds = [kind for kind in TaskKind if (kind is TaskKind.RUN) == is_run]
        claimed = await self._store.claim(
            ClaimRequest(
                self._random.choice(WORKERS),
                kinds,
                ttl_s=self._random.choice([0.0, 5.0, 30.0]),
                full_models=self._random.choice([(), (), ("m",)]) if is_run else (),
                max_shards=self._random.choice([{}, {}, {"m": 1}, {"m": 2, "n": 1}]) if is_run else {},
                limit=self._random.choice([1, 1, 3]),
                quarantined=is_run and self._random.random() < 0.3,
            )
        )
        self._tasks += claimed
        tellings = [(task.delivery.endpoint_id, task.delivery.event.type) for task in claimed if task.delivery]
        return [replace(task, delivery=None) for task in claimed], tellings

    def _any_task(self) -> Task | None:
        return self._random.choice(self._tasks[-6:]) if self._tasks else None

    async def report(self) -> Any:
        task = self._any_task()
        if task is None:
            return
        match task.kind:
            case TaskKind.VALIDATE if self._random.random() < 0.2:
                await self._store.reject(task, [InputError("c", "m")])
            case TaskKind.VALIDATE:
                shards = [
                    (self._random.choice(MODELS), Shard(number, number * 100, 100, 1, 10))
                    for number in range(self._random.choice([1, 2, 5]))
                ]
                await self._store.accept(task, "m", shards)
            case TaskKind.EXPIRE:
                await self._store.expire(task)
            case TaskKind.FINALIZE:
                status = self._random.choice([BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED])
                output = a_file(str(task.tenant), id=self._name("file"))
                output = replace(output, blob_key=f"files/{output.id}")
                await self._store.finish(task, status, BatchOutputs(output, None, self._random.choice([0, 4])), 60)
                self._files.append(output)
            case TaskKind.DELIVER:
                await self._store.complete(task)
            case _:
                await self._store.release(task, 60.0)

    async def record(self) -> Any:
        shards = {task.id: task for task in self._tasks[-8:] if task.kind is TaskKind.RUN}
        reports = []
        for task in shards.values():
            key = f"{task.id}-{task.epoch}-{self._random.choice('abc')}"
            size = self._random.randrange(1, 50)
            made = Segment(task.id, key, 10, size, 1, self._random.choice([0, 2]), Usage(1, 2, 3, 4, size))
            reports.append(ShardReport(task, self._random.choice([None, made]), self._random.random() < 0.4))
        return sorted(task.id for task in await self._store.record(reports))

    async def release(self) -> Any:
        if task := self._any_task():
            await self._store.release(task, self._random.choice([0.0, 2.0]))

    async def release_worker(self) -> Any:
        return await self._store.release_worker(self._random.choice(WORKERS), crashed=self._random.random() < 0.7)

    async def renew(self) -> Any:
        await self._store.renew(self._random.choice(WORKERS), 10.0)

    async def mark_suspect(self) -> Any:
        if task := self._any_task():
            await self._store.mark_suspect(task, self._random.choice([None, 7]))

    async def add_file(self) -> Any:
        name = self._name("file")
        file = a_file(self._random.choice(TENANTS), self._random.choice(["batch", "vision"]), id=name)
        added = await self._store.add_file(replace(file, blob_key=f"files/{name}"), self._random.choice([None, 60]))
        self._files.append(added)
        return added

    async def delete_file(self) -> Any:
        if self._files:
            file = self._random.choice(self._files)
            return await self._store.delete_file(self._random.choice(TENANTS), file.id)
        return None

    async def newest_needed(self) -> Any:
        return sorted(await self._store.newest_needed(1000))

    async def list_files(self) -> Any:
        return await self._store.list_files(
            self._random.choice(TENANTS),
            purpose=self._random.choice(["", "batch"]),
            after=self._random.choice(["", *(file.id for file in self._files)]),
            limit=self._random.choice([1, 3]),
            oldest_first=self._random.random() < 0.5,
        )

    async def sweep(self) -> Any:
        garbage = await self._store.garbage(99, 60)
        await self._store.forget(garbage)
        return garbage

    async def advance(self) -> Any:
        await self._harness.advance(self._random.choice([0.001, 1, 6, 31, 61]))


@over_sql
@pytest.mark.parametrize("seed", range(3))
async def test_sql_and_memory_stores_return_the_same_results_for_the_same_calls(
    sql_harness: SqlHarness, seed: int
) -> None:
    walks = []
    for harness in (sql_harness, MemoryHarness()):
        await harness.freeze_clock()
        walks.append(await Caller(harness, seed).walk())
    for of_sql, of_memory in zip(*walks, strict=True):
        assert of_memory == of_sql
