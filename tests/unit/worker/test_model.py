"""The queue of a model: which line is called next, and how much is claimed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from batchwire_server.core.results import NoReply, Reply
from batchwire_server.core.scheduling.demand import BACKLOG_BYTES, TENANTS_AT_ONCE
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import Lane
from batchwire_server.worker.model import ModelQueue

from tests.support.scripted_upstream import ScriptedUpstream, fine, until
from tests.unit.worker.environment import QUICK, a_run, finished, number_of, queue_of

LONG = RetryPolicy(max_attempts=3, base_s=1000.0, cap_s=1000.0)


async def test_every_line_is_called_once_and_finishes_once() -> None:
    upstream = ScriptedUpstream()
    async with queue_of(upstream) as queue:
        run, lines = a_run(range(1, 201))
        queue.push(lines)
        await until(lambda: run.settled)
        assert finished(run) == list(range(1, 201))
        assert set(upstream.times.values()) == {1}
        assert run.done


async def test_a_line_is_never_in_two_calls_at_once() -> None:
    in_flight: Counter[bytes] = Counter()

    async def alternate(body: bytes, nth: int) -> Any:
        in_flight[body] += 1
        assert in_flight[body] == 1
        await asyncio.sleep(0)
        in_flight[body] -= 1
        return await fine(body, nth) if nth > 2 else Reply(429, b"{}")

    async with queue_of(ScriptedUpstream(alternate, name="1"), ScriptedUpstream(alternate, name="2"), cap=7) as queue:
        run, lines = a_run(range(1, 101))
        queue.push(lines)
        await until(lambda: run.settled)
        assert finished(run) == list(range(1, 101))


async def test_two_upstreams_share_the_lines_of_a_model() -> None:
    first, second = ScriptedUpstream(name="1"), ScriptedUpstream(name="2")
    for upstream in (first, second):
        upstream.open.clear()
    async with queue_of(first, second, cap=4) as queue:
        run, lines = a_run(range(1, 31))
        queue.push(lines)
        await until(lambda: first.in_flight == second.in_flight == 4)
        first.open.set()  # the second hangs with four lines
        await until(lambda: len(run.finished) == 26)
        second.open.set()
        await until(lambda: run.settled)
        assert len(first.calls) + len(second.calls) == 30


async def test_a_model_whose_lanes_are_full_does_not_delay_another() -> None:
    stalled, quick = ScriptedUpstream(), ScriptedUpstream()
    stalled.open.clear()
    async with queue_of(stalled) as full, queue_of(quick) as free:
        waiting, lines = a_run(range(1, 100))
        full.push(lines)
        run, others = a_run(range(1, 100), task_id=2)
        free.push(others)
        await until(lambda: run.settled)
        assert waiting.finished == []


async def test_tenants_take_turns() -> None:
    upstream = ScriptedUpstream()
    async with queue_of(upstream, cap=1) as queue:
        huge, many = a_run(range(1, 101), tenant="huge")
        small, few = a_run(range(1001, 1006), task_id=2, tenant="small")
        queue.push(many)
        queue.push(few)
        await until(lambda: small.settled and huge.settled)
        order = [number > 1000 for number in map(number_of, upstream.calls)]
        assert order[:11].count(True) == 5
        assert [number for number in map(number_of, upstream.calls) if number > 1000] == list(range(1001, 1006))


async def test_delayed_lines_of_a_stopped_run_are_never_called() -> None:
    async def failing(_: bytes, __: int) -> Reply | NoReply:
        return Reply(500, b"{}")

    upstream = ScriptedUpstream(failing)
    async with queue_of(upstream, policy=RetryPolicy(9, 0.4, 0.4)) as queue:
        run, lines = a_run(range(1, 5))
        queue.push(lines)
        await until(lambda: len(upstream.calls) == 4 and run.pending == 4)
        run.stop()
        assert run.settled
        await until(lambda: not queue._delayed)
        assert len(upstream.calls) == 4


async def test_no_call_starts_while_the_leases_may_expire() -> None:
    holds = True
    upstream = ScriptedUpstream()
    async with queue_of(upstream, may_call=lambda: holds) as queue:
        holds = False
        run, lines = a_run(range(1, 5))
        queue.push(lines)
        assert (queue.ready, queue.lanes[0].in_flight) == (4, 0)
        holds = True
        queue.pump()
        await until(lambda: run.settled)


async def test_closing_cancels_all_calls() -> None:
    upstream = ScriptedUpstream()
    upstream.open.clear()
    queue = ModelQueue(QUICK, lambda: True, lambda: None)
    queue.lanes.append(Lane(upstream, queue, 4))
    _, lines = a_run(range(1, 9))
    queue.push(lines)
    await until(lambda: upstream.in_flight == 4)
    await queue.close()
    assert (upstream.in_flight, upstream.cancelled, len(upstream.calls)) == (0, 4, 4)


class TestDemand:
    async def test_an_empty_queue_demands_a_line_per_slot_and_a_full_one_none(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=10) as queue:
            assert queue.demand == 10
            _, lines = a_run(range(1, 101))
            queue.push(lines)
            assert queue.demand == 0

    async def test_a_low_backlog_is_reported(self) -> None:
        reported = asyncio.Event()
        upstream = ScriptedUpstream()
        queue = ModelQueue(QUICK, lambda: True, reported.set)
        queue.lanes.append(Lane(upstream, queue, 2))
        run, lines = a_run(range(1, 11))
        queue.push(lines)
        await until(lambda: run.settled)
        assert reported.is_set()
        await queue.close()

    async def test_a_low_backlog_is_not_reported_after_a_claim_that_found_no_shard(self) -> None:
        reported = asyncio.Event()
        queue = ModelQueue(QUICK, lambda: True, reported.set)
        queue.lanes.append(Lane(ScriptedUpstream(), queue, 2))
        queue.queue_empty = True
        run, lines = a_run(range(1, 11))
        queue.push(lines)
        await until(lambda: run.settled)
        assert not reported.is_set()
        await queue.close()

    async def test_shards_are_assumed_to_be_as_long_as_the_last(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=10) as queue:
            assert queue.shard_demand == 1
            _, lines = a_run(range(1, 4))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 3)
            assert (queue.demand, queue.shard_demand) == (10, 4)

    async def test_a_fast_upstream_raises_the_demand(self) -> None:
        async with queue_of(ScriptedUpstream(), cap=4) as queue:
            run, lines = a_run(range(1, 2001))
            queue.push(lines)
            await until(lambda: run.settled)
            queue.measure()
            assert queue.demand > 4

    async def test_the_bytes_of_the_backlog_are_bounded(self) -> None:
        async with queue_of(ScriptedUpstream(), cap=4) as queue:
            run, lines = a_run(range(1, 2001))
            for line in lines:
                line.body += b" " * (BACKLOG_BYTES // 100)
            queue.push(lines)
            await until(lambda: run.settled)
            queue.measure()
            assert 4 < queue.demand <= 4 + 100

    async def test_delayed_lines_count_as_backlog(self) -> None:
        async with queue_of(ScriptedUpstream(), policy=LONG) as queue:
            _, lines = a_run(range(1, 20_001))
            for line in lines:
                queue.delay(line, 3600.0)
            assert queue.demand == 0, "a worker whose upstream is down would claim every shard"

    async def test_a_queue_is_full_when_enough_tenants_have_lines_in_it(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=1) as queue:
            for number in range(TENANTS_AT_ONCE):
                assert not queue.full
                _, lines = a_run(range(1, 11), task_id=number, tenant=f"tenant-{number}")
                queue.push(lines)
            assert queue.full
            assert len(list(queue.tenants)) == TENANTS_AT_ONCE
