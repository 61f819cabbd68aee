"""Watching: every watcher sees the batch as it is, as it changes, and as it ends; the store is asked for all of them together."""

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

from tests.ports.memory_stage import MemoryStage
from tests.support.scripted_upstream import until


class Counting:
    """The part of a store that watching needs, and how often it was asked for a batch."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self.asked = 0
        self.reachable = True

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        self.asked += 1
        return await self._store.get_batch(tenant, batch_id)

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        if not self.reachable:
            raise ConnectionError("the store is gone")
        return await self._store.changed_batches(revisions)


class Scene:
    """A batch in progress, and who watches it."""

    def __init__(self) -> None:
        self.stage = MemoryStage()
        self.store = Counting(self.stage.store)
        self.watches = Watches(self.store, self.stage.store.changes)  # type: ignore[arg-type]
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
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    for task in made.watching:
        task.cancel()
    await asyncio.gather(*made.watching, return_exceptions=True)
    await made.watches.close()


async def test_all_watchers_see_the_batch_at_once_and_each_change_and_the_store_is_not_asked_for_each(
    scene: Scene,
) -> None:
    batch = await scene.stage.started()
    seen: list[Batch] = []
    scene.watch(batch, 1, seen)
    await until(lambda: len(seen) == 1)
    scene.watch(batch, 100, seen)
    await until(lambda: len(seen) == 101)
    await scene.stage.store.cancel_batch(batch.tenant, batch.id)
    await until(lambda: len(seen) == 202)
    assert [snapshot.status for snapshot in seen[:101]] == [BatchStatus.IN_PROGRESS] * 101
    assert [snapshot.status for snapshot in seen[101:]] == [BatchStatus.CANCELLING] * 101
    assert scene.store.asked == 1


async def test_a_batch_that_its_tenant_watches_is_not_there_for_another(scene: Scene) -> None:
    batch = await scene.stage.started()
    seen: list[Batch] = []
    scene.watch(batch, 1, seen)
    await until(lambda: len(seen) == 1)
    with pytest.raises(BatchwireError, match="No batch found"):
        await anext(scene.watches.watch("another", batch.id))


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_batch_that_does_not_change_is_shown_again_even_while_it_cannot_be_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    monkeypatch.setattr(watches, "LOOK_S", 0.01)
    scene.watches = Watches(scene.store, scene.stage.store.changes, repeat=0.02)  # type: ignore[arg-type]
    batch = await scene.stage.started()
    seen: list[Batch] = []
    scene.watch(batch, 2, seen)
    await until(lambda: len(seen) >= 2)
    scene.store.reachable = reachable
    await until(lambda: len(seen) >= 10)
    assert all(snapshot == seen[0] for snapshot in seen)


async def test_a_watch_of_a_batch_that_has_ended_is_one_snapshot(scene: Scene) -> None:
    batch, _ = await scene.stage.at(BatchStatus.COMPLETED)
    seen: list[Batch] = []
    scene.watch(batch, 3, seen)
    assert await asyncio.gather(*scene.watching) == [[BatchStatus.COMPLETED]] * 3
