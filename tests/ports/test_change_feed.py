"""What every ChangeFeed does."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from batchwire_server.adapters.changes import PolledChanges
from batchwire_server.adapters.sql.engine import WORK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchOutputs, ChangeFeed, ShardReport
from batchwire_server.core.records import TaskKind
from batchwire_server.roles.adapters import open_changes

from tests.ports.sql_stage import PATIENCE_S, SqlStage, over_sql
from tests.ports.stores import Stage, a_batch, a_file, segment, shards

CREATOR = Path(__file__).parent / "creator.py"
SOON_S = 0.01


@pytest_asyncio.fixture
async def changes(stage: Stage) -> AsyncIterator[ChangeFeed]:
    async with stage.changes() as feed:
        yield feed


async def test_a_newcomer_is_told_at_once(changes: ChangeFeed) -> None:
    assert await changes.wait(0, PATIENCE_S) != 0


async def test_without_a_change_the_wait_ends_after_its_time_with_the_same_counter(changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    assert await changes.wait(seen, SOON_S) == seen


async def test_a_commit_of_another_connection_ends_the_wait(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    waiting = asyncio.create_task(changes.wait(seen, PATIENCE_S))
    await stage.store.add_batch(a_batch())
    started = time.monotonic()
    assert await waiting != seen
    assert time.monotonic() - started < PATIENCE_S / 2


@over_sql
async def test_a_commit_of_another_process_ends_the_wait(sql_stage: SqlStage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    process = await asyncio.create_subprocess_exec(sys.executable, str(CREATOR), sql_stage.url)
    assert await changes.wait(seen, PATIENCE_S) != seen
    assert await process.wait() == 0


# The one counter of SQLite tells of everything.
@pytest.mark.parametrize("adapter", ["postgresql"], indirect=True)
async def test_who_waits_for_work_is_not_told_of_results(sql_stage: SqlStage) -> None:
    await sql_stage.started(parts=shards(2))
    task = await sql_stage.claim_one(TaskKind.RUN)
    async with open_changes(sql_stage.database, WORK) as feed:
        seen = await feed.wait(1, PATIENCE_S)
        await sql_stage.store.record([ShardReport(task, segment(task), done=False)])
        await sql_stage.claim_one(TaskKind.RUN)
        assert await feed.wait(seen, SOON_S) == seen
        await sql_stage.store.release(task)
        assert await feed.wait(seen, PATIENCE_S) != seen


async def test_a_change_between_two_waits_is_not_missed(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    await stage.store.add_batch(a_batch())
    assert await changes.wait(seen, SOON_S) != seen


async def test_many_who_wait_are_all_told(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    waiting = [asyncio.create_task(changes.wait(seen, PATIENCE_S)) for _ in range(20)]
    await asyncio.sleep(0)
    await stage.store.add_batch(a_batch())
    assert len({await one for one in waiting}) == 1
    assert seen not in {one.result() for one in waiting}


async def test_reading_is_no_change(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    await stage.store.held("w1")
    await stage.store.get_batch("acme", "batch_x")
    assert await changes.wait(seen, SOON_S) == seen


async def test_a_report_that_is_refused_halfway_is_no_change(stage: Stage, changes: ChangeFeed) -> None:
    _, task = await stage.at(BatchStatus.FINALIZING)
    assert task
    seen = await changes.wait(0, PATIENCE_S)
    with pytest.raises(LeaseLostError):
        await stage.store.finish(task, BatchStatus.CANCELLED, BatchOutputs(a_file(), None, 0), 60)
    assert await changes.wait(seen, SOON_S) == seen


async def test_one_who_gives_up_waiting_does_not_disturb_the_others(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    one, other = (asyncio.create_task(changes.wait(seen, PATIENCE_S)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await stage.store.add_batch(a_batch())
    assert await other != seen


async def test_waiting_begins_again_after_everybody_has_left(stage: Stage, changes: ChangeFeed) -> None:
    seen = await changes.wait(0, PATIENCE_S)
    for _ in range(3):
        assert await changes.wait(seen, SOON_S) == seen
        await stage.store.add_batch(a_batch())
        seen, before = await changes.wait(seen, PATIENCE_S), seen
        assert seen != before


async def test_nobody_looks_while_nobody_waits() -> None:
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
