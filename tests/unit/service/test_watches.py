"""Watches: every watcher gets the current snapshot and each change, and all share one query."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchStore
from batchwire_server.core.records import Batch
from batchwire_server.service import watches
from batchwire_server.service.watches import Watches

from tests.ports.memory_harness import MemoryHarness
from tests.support.scripted_upstream import until


class Counting:
    """The methods of a store that watches call; counts the reads of a batch."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self.reads = 0
        self.reachable = True

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        self.reads += 1
        return await self._store.get_batch(tenant, batch_id)

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        if not self.reachable:
            raise ConnectionError("the store is gone")
        return await self._store.changed_batches(revisions)


class Harness:
    """A store, the watches over it, and the watchers of a test."""

    def __init__(self) -> None:
        self.memory = MemoryHarness()
        self.store = Counting(self.memory.store)
        self.watches = Watches(self.store, self.memory.store.changes)  # type: ignore[arg-type]  # the methods that watches call
        self.watching: list[asyncio.Task[list[BatchStatus]]] = []

    def watch(self, batch: Batch, count: int, seen: list[Batch]) -> None:
        async def one() -> list[BatchStatus]:
            statuses = []
            async for snapshot in self.watches.watch(batch.tenant, batch.id):
                seen.append(snapshot)
                statuses.append(snapshot.status)
            return statuses

        self.watching += [asyncio.create_task(one()) for _ in range(count)]


@pytest_asyncio.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness()
    yield made
    for task in made.watching:
        task.cancel()
    await asyncio.gather(*made.watching, return_exceptions=True)
    await made.watches.close()


async def test_all_watchers_get_the_snapshot_and_each_change_with_one_read(
    harness: Harness,
) -> None:
    batch = await harness.memory.start_batch()
    seen: list[Batch] = []
    harness.watch(batch, 1, seen)
    await until(lambda: len(seen) == 1)
    harness.watch(batch, 100, seen)
    await until(lambda: len(seen) == 101)
    await harness.memory.store.cancel_batch(batch.tenant, batch.id)
    await until(lambda: len(seen) == 202)
    assert [snapshot.status for snapshot in seen[:101]] == [BatchStatus.IN_PROGRESS] * 101
    assert [snapshot.status for snapshot in seen[101:]] == [BatchStatus.CANCELLING] * 101
    assert harness.store.reads == 1


async def test_a_watched_batch_is_not_found_by_another_tenant(harness: Harness) -> None:
    batch = await harness.memory.start_batch()
    seen: list[Batch] = []
    harness.watch(batch, 1, seen)
    await until(lambda: len(seen) == 1)
    with pytest.raises(BatchwireError, match="No batch found"):
        await anext(harness.watches.watch("another", batch.id))


@pytest.mark.parametrize("reachable", [True, False])
async def test_an_unchanged_snapshot_is_sent_again_even_during_an_outage(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    monkeypatch.setattr(watches, "POLL_S", 0.01)
    harness.watches = Watches(harness.store, harness.memory.store.changes, repeat=0.02)  # type: ignore[arg-type]  # the methods that watches call
    batch = await harness.memory.start_batch()
    seen: list[Batch] = []
    harness.watch(batch, 2, seen)
    await until(lambda: len(seen) >= 2)
    harness.store.reachable = reachable
    await until(lambda: len(seen) >= 10)
    assert all(snapshot == seen[0] for snapshot in seen)


async def test_watching_an_ended_batch_yields_one_snapshot(harness: Harness) -> None:
    batch, _ = await harness.memory.batch_in(BatchStatus.COMPLETED)
    seen: list[Batch] = []
    harness.watch(batch, 3, seen)
    assert await asyncio.gather(*harness.watching) == [[BatchStatus.COMPLETED]] * 3
