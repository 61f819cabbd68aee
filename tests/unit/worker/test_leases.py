"""Leases: renewed in time, and given up before another worker may take over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest, HeldTask
from batchwire_server.core.records import Task, TaskKind
from batchwire_server.worker import leases
from batchwire_server.worker.leases import Leases

from tests.ports.stores import StoreHarness
from tests.support.scripted_upstream import until


class Store:
    """The leasing part of a queue, which can be unreachable."""

    def __init__(self, harness: StoreHarness) -> None:
        self._store = harness.store
        self.reachable = True
        self.renewed = 0

    async def renew(self, worker: str, ttl_s: float) -> int:
        if not self.reachable:
            raise ConnectionError("the database is unreachable")
        self.renewed += 1
        return await self._store.renew(worker, ttl_s)

    async def held(self, worker: str) -> list[HeldTask]:
        if not self.reachable:
            raise ConnectionError("the database is unreachable")
        return await self._store.held(worker)


class Holder:
    """A worker's side of its leases."""

    def __init__(self, harness: StoreHarness, *, ttl_s: float, heartbeat_s: float) -> None:
        self.store = Store(harness)
        self.believed: dict[int, int] = {}
        self.held: list[HeldTask] = []
        self.lost: list[int] = []
        self.stale = 0
        self.leases = Leases(
            self.store,  # type: ignore[arg-type]  # only what leases call
            "w1",
            ttl_s=ttl_s,
            heartbeat_s=heartbeat_s,
            holding=lambda: self.believed,
            on_held=self.held.append,
            on_lost=self.lost.append,
            on_stale=self._note_stale,
        )

    def _note_stale(self) -> None:
        self.stale += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.leases.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def leased_task(harness: StoreHarness, holder: Holder) -> Task:
    await harness.start_batch()
    task = await harness.claim_one(TaskKind.RUN)
    holder.believed[task.id] = task.epoch
    return task


async def test_leases_are_renewed_at_each_heartbeat(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=30.0, heartbeat_s=0.01)
    task = await leased_task(harness, holder)
    before = await harness.lease_end(task)
    async with holder.running():
        await until(lambda: holder.store.renewed > 2)  # two have been answered, a heartbeat apart
    assert await harness.lease_end(task) > before
    assert holder.leases.valid
    assert holder.lost == []


async def test_held_tasks_are_reported_with_the_status_of_their_batch(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=30.0, heartbeat_s=10.0)
    task = await leased_task(harness, holder)
    async with holder.running():
        await until(lambda: holder.held)
    assert (holder.held[0].id, holder.held[0].batch_status) == (task.id, BatchStatus.IN_PROGRESS)


async def test_a_task_that_another_worker_took_over_is_lost(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=30.0, heartbeat_s=10.0)
    task = await leased_task(harness, holder)
    await harness.expire_lease(task)
    await harness.claim_one(TaskKind.RUN, "w2")
    async with holder.running():
        await until(lambda: holder.lost)
    assert set(holder.lost) == {task.id}


async def test_a_task_that_was_claimed_again_under_another_epoch_is_lost(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=30.0, heartbeat_s=10.0)
    task = await leased_task(harness, holder)
    await harness.expire_lease(task)
    await harness.claim_one(TaskKind.RUN, "w1")
    async with holder.running():
        await until(lambda: holder.lost)
    assert set(holder.lost) == {task.id}


async def test_leases_go_stale_in_an_outage_before_another_may_take_over(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=2.0, heartbeat_s=0.5)
    await harness.start_batch()
    (task,) = await harness.store.claim(ClaimRequest("w1", [TaskKind.RUN], ttl_s=2.0))
    holder.believed[task.id] = task.epoch
    async with holder.running():
        await until(lambda: holder.store.renewed)
        holder.store.reachable = False
        await until(lambda: holder.stale)
        assert not holder.leases.valid
        assert await harness.store.claim(ClaimRequest("w2", [TaskKind.RUN], ttl_s=30.0)) == []


async def test_leases_are_valid_again_after_an_outage(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=1.0, heartbeat_s=0.1)
    holder.store.reachable = False
    async with holder.running():
        await until(lambda: holder.stale)
        holder.store.reachable = True
        await until(lambda: holder.leases.valid)


async def test_takeovers_are_allowed_once_the_database_was_in_reach_for_a_heartbeat(harness: StoreHarness) -> None:
    holder = Holder(harness, ttl_s=4.0, heartbeat_s=0.6)
    async with holder.running():
        await until(lambda: holder.store.renewed)
        assert holder.leases.expired_before == 0
        await until(lambda: holder.leases.expired_before)


async def test_leases_that_expired_in_an_outage_stay_with_their_holders_for_a_heartbeat(
    harness: StoreHarness,
) -> None:
    holder = Holder(harness, ttl_s=30.0, heartbeat_s=1.0)
    async with holder.running():
        await until(lambda: holder.leases.expired_before)
        holder.store.reachable = False
        before = holder.leases.expired_before
        await asyncio.sleep(3 * leases.CHECK_S + 0.5)  # longer than the gap that counts as an outage
        renewed = holder.store.renewed
        holder.store.reachable = True
        await until(lambda: holder.store.renewed > renewed)
        assert holder.leases.expired_before == before
        await until(lambda: holder.leases.expired_before > before)


def test_stale_leases_are_noticed_before_they_expire() -> None:
    ttl_s = 15.0
    assert ttl_s * leases.VALID_FRACTION + leases.CHECK_S / 2 < ttl_s
