"""Behaviour of every ChangeFeed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from batchwire_server.adapters.changes import PolledChanges
from batchwire_server.adapters.sql import Channel
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchOutputs, ChangeFeed, ShardReport
from batchwire_server.core.records import TaskKind

from tests.ports.sql_harness import LISTEN_TIMEOUT_S, SqlHarness, over_sql
from tests.ports.stores import StoreHarness, a_batch, a_file, segment, shards

CREATOR = Path(__file__).parent / "creator.py"
SOON_S = 0.01


@pytest_asyncio.fixture
async def changes(harness: StoreHarness) -> AsyncIterator[ChangeFeed]:
    async with harness.changes() as feed:
        yield feed


async def test_a_first_wait_returns_at_once(changes: ChangeFeed) -> None:
    assert await changes.wait(0, LISTEN_TIMEOUT_S) != 0


async def test_a_wait_without_change_times_out_with_the_same_counter(changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    assert await changes.wait(seen, SOON_S) == seen


async def test_a_commit_of_another_connection_ends_the_wait(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    waiting = asyncio.create_task(changes.wait(seen, LISTEN_TIMEOUT_S))
    await harness.store.add_batch(a_batch())
    started = time.monotonic()
    assert await waiting != seen
    assert time.monotonic() - started < LISTEN_TIMEOUT_S / 2


@over_sql
async def test_a_commit_of_another_process_ends_the_wait(sql_harness: SqlHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    process = await asyncio.create_subprocess_exec(sys.executable, str(CREATOR), sql_harness.url)
    assert await changes.wait(seen, LISTEN_TIMEOUT_S) != seen
    assert await process.wait() == 0


# SQLite has one counter for all changes.
@pytest.mark.parametrize("adapter", ["postgresql"], indirect=True)
async def test_recorded_results_do_not_notify_the_work_channel(sql_harness: SqlHarness) -> None:
    await sql_harness.start_batch(parts=shards(2))
    task = await sql_harness.claim_one(TaskKind.RUN)
    async with sql_harness.database.open_changes(Channel.WORK) as feed:
        seen = await feed.wait(1, LISTEN_TIMEOUT_S)
        await sql_harness.store.record([ShardReport(task, segment(task), done=False)])
        await sql_harness.claim_one(TaskKind.RUN)
        assert await feed.wait(seen, SOON_S) == seen
        await sql_harness.store.release(task)
        assert await feed.wait(seen, LISTEN_TIMEOUT_S) != seen


async def test_a_change_between_two_waits_is_not_missed(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    await harness.store.add_batch(a_batch())
    assert await changes.wait(seen, SOON_S) != seen


async def test_a_change_wakes_all_waiters(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    waiting = [asyncio.create_task(changes.wait(seen, LISTEN_TIMEOUT_S)) for _ in range(20)]
    await asyncio.sleep(0)
    await harness.store.add_batch(a_batch())
    assert len({await one for one in waiting}) == 1
    assert seen not in {one.result() for one in waiting}


async def test_reading_does_not_count_as_a_change(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    await harness.store.held("w1")
    await harness.store.get_batch("acme", "batch_x")
    assert await changes.wait(seen, SOON_S) == seen


async def test_a_rolled_back_report_does_not_count_as_a_change(harness: StoreHarness, changes: ChangeFeed) -> None:
    _, task = await harness.batch_in(BatchStatus.FINALIZING)
    assert task
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    with pytest.raises(LeaseLostError):
        await harness.store.finish(task, BatchStatus.CANCELLED, BatchOutputs(a_file(), None, 0), 60)
    assert await changes.wait(seen, SOON_S) == seen


async def test_a_cancelled_wait_does_not_affect_the_others(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    one, other = (asyncio.create_task(changes.wait(seen, LISTEN_TIMEOUT_S)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await harness.store.add_batch(a_batch())
    assert await other != seen


async def test_waiting_works_again_after_all_waiters_have_left(harness: StoreHarness, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, LISTEN_TIMEOUT_S)
    for _ in range(3):
        assert await changes.wait(seen, SOON_S) == seen
        await harness.store.add_batch(a_batch())
        seen, before = await changes.wait(seen, LISTEN_TIMEOUT_S), seen
        assert seen != before


async def test_the_counter_is_not_polled_without_waiters() -> None:
    looks = 0

    def read() -> int:
        nonlocal looks
        looks += 1
        return 1

    feed = PolledChanges(read)
    await feed.wait(1, SOON_S)
    assert feed._poller is not None
    await feed._poller
    settled = looks
    await asyncio.sleep(0)
    assert looks == settled
    await feed.close()
