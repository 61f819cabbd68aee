"""Lanes and the queues that they take lines from."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any

from batchwire_server.core.results import NoReply, Reply
from batchwire_server.core.scheduling.demand import BACKLOG_BYTES, TENANTS_AT_ONCE
from batchwire_server.core.scheduling.pacing import Pacing
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import Lane
from batchwire_server.worker.model import ModelQueue
from batchwire_server.worker.shard_run import ShardRun

from tests.support.scripted_upstream import ScriptedUpstream, fine, until
from tests.unit.worker.environment import QUICK, a_run, finished, number_of, queue_of

LONG = RetryPolicy(max_attempts=3, base_s=1000.0, cap_s=1000.0)


def has_finished(run: ShardRun, count: int) -> bool:
    return len(run.finished) == count


async def test_every_line_is_called_once_and_lands_once() -> None:
    upstream = ScriptedUpstream()
    async with queue_of(upstream) as queue:
        run, lines = a_run(range(1, 201))
        queue.push(lines)
        await until(lambda: run.settled)
        assert finished(run) == list(range(1, 201))
        assert set(upstream.times.values()) == {1}
        assert run.done


async def test_as_many_calls_are_in_flight_as_there_are_slots() -> None:
    upstream = ScriptedUpstream()
    upstream.open.clear()
    async with queue_of(upstream, cap=5) as queue:
        run, lines = a_run(range(1, 101))
        queue.push(lines)
        await until(lambda: upstream.in_flight == 5)
        upstream.open.set()
        await until(lambda: run.settled)
        assert upstream.most_in_flight == 5


async def test_a_slot_takes_the_next_line_the_moment_its_call_ends() -> None:
    gates: dict[int, asyncio.Event] = {number: asyncio.Event() for number in range(1, 11)}

    async def gated(body: bytes, nth: int) -> Reply | NoReply:
        await gates[number_of(body)].wait()
        return await fine(body, nth)

    upstream = ScriptedUpstream(gated)
    async with queue_of(upstream, cap=3) as queue:
        run, lines = a_run(range(1, 11))
        queue.push(lines)
        for number in range(1, 8):
            await until(lambda: upstream.in_flight == 3)
            assert len(upstream.calls) == number + 2  # one line has made room for one
            gates[number].set()
            await until(partial(has_finished, run, number))
        for gate in gates.values():
            gate.set()
        await until(lambda: run.settled)


async def test_two_upstreams_share_the_lines_of_a_model() -> None:
    first, second = ScriptedUpstream(name="1"), ScriptedUpstream(name="2")
    for upstream in (first, second):
        upstream.open.clear()
    async with queue_of(first, second, cap=4) as queue:
        run, lines = a_run(range(1, 31))
        queue.push(lines)
        await until(lambda: first.in_flight == second.in_flight == 4)
        first.open.set()  # the other one hangs, and is waited for only with what it holds
        await until(lambda: len(run.finished) == 26)
        second.open.set()
        await until(lambda: run.settled)
        assert len(first.calls) + len(second.calls) == 30


async def test_a_model_whose_lanes_are_full_does_not_hold_another_up() -> None:
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


class TestPacing:
    async def test_a_lane_calls_no_faster_than_it_may_and_goes_on_by_itself(self) -> None:
        upstream = ScriptedUpstream()
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(upstream, queue, 256, Pacing(60 * 100, 0, time.monotonic())))
        run, lines = a_run(range(1, 131))
        started = time.monotonic()
        queue.push(lines)
        await until(lambda: len(upstream.calls) >= 100)
        await until(lambda: run.settled)
        assert time.monotonic() - started >= 0.3  # a hundred were saved up, the other thirty come one by one
        assert finished(run) == list(range(1, 131))
        await queue.close()

    async def test_answers_say_how_many_tokens_a_lane_has_left(self) -> None:
        async def long(_body: bytes, _nth: int) -> Reply | NoReply:
            return Reply(200, b'{"usage":{"total_tokens":100}}')

        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(ScriptedUpstream(long), queue, 1, Pacing(0, 60 * 1000, time.monotonic())))
        run, lines = a_run(range(1, 14))
        started = time.monotonic()
        queue.push(lines)
        await until(lambda: run.settled)
        assert time.monotonic() - started >= 0.2
        await queue.close()

    async def test_workers_divide_slots_and_calls(self) -> None:
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        lane = Lane(ScriptedUpstream(), queue, 8, Pacing(60 * 100, 0, time.monotonic()))
        queue.lanes.append(lane)
        lane.share(8, 4)
        run, lines = a_run(range(1, 31))
        started = time.monotonic()
        queue.push(lines)
        await until(lambda: run.settled)
        assert lane.limit.cap == 2
        assert time.monotonic() - started >= 0.1  # 25 a second, of which one second's were saved up
        await queue.close()

    async def test_a_lane_that_waits_for_its_pace_leaves_lines_to_another(self) -> None:
        slow, quick = ScriptedUpstream(name="slow"), ScriptedUpstream(name="quick")
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(slow, queue, 256, Pacing(1, 0, time.monotonic())))
        queue.lanes.append(Lane(quick, queue, 256))
        run, lines = a_run(range(1, 101))
        queue.push(lines)
        await until(lambda: run.settled)
        assert (len(slow.calls), len(quick.calls)) == (1, 99)
        await queue.close()


class TestEnding:
    async def test_a_run_that_is_cut_ends_its_calls_keeps_what_has_finished_and_frees_the_slots(self) -> None:
        async def first_only(body: bytes, nth: int) -> Reply | NoReply:
            if 1 < number_of(body) <= 100:
                await asyncio.Event().wait()
            return await fine(body, nth)

        upstream = ScriptedUpstream(first_only)
        async with queue_of(upstream, cap=4) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4 and run.finished)
            run.cancel()
            await until(lambda: run.settled)
            assert finished(run) == [1]
            assert run.done
            other, more = a_run(range(101, 120), task_id=2)
            queue.push(more)
            await until(lambda: other.settled)
            assert finished(other) == list(range(101, 120))
            assert upstream.cut == 4
            await until(lambda: queue.lanes[0].in_flight == 0)

    async def test_a_run_that_is_stopped_lets_its_calls_come_in_and_starts_no_more(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=4) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4)
            run.stop()
            assert not run.settled
            upstream.open.set()
            await until(lambda: run.settled)
            assert finished(run) == [1, 2, 3, 4]
            assert (run.done, len(upstream.calls)) == (True, 4)

    async def test_a_run_that_is_handed_over_with_lines_left_is_not_done(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=4) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4)
            run.hand_over()
            upstream.open.set()
            await until(lambda: run.settled)
            assert not run.done

    async def test_a_run_that_is_handed_over_whose_last_lines_were_cut_off_is_not_done(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 5))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4)
            run.hand_over()
            run.cancel()
            await until(lambda: run.settled)
            assert not run.done, "four lines never ran"

    async def test_a_run_that_is_handed_over_with_all_lines_finished_is_done(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 5))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4)
            run.hand_over()
            upstream.open.set()
            await until(lambda: run.settled)
            assert run.done

    async def test_of_a_run_that_is_aborted_nothing_that_comes_in_counts(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 5))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 4)
            run.abort()
            upstream.open.set()
            await until(lambda: not run.in_flight)
            assert run.finished == []

    async def test_lines_of_a_stopped_run_that_wait_to_be_called_again_never_are(self) -> None:
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

    async def test_without_leases_no_call_is_made(self) -> None:
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

    async def test_closing_cuts_all_calls_off(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(upstream, queue, 4))
        _, lines = a_run(range(1, 9))
        queue.push(lines)
        await until(lambda: upstream.in_flight == 4)
        await queue.close()
        assert (upstream.in_flight, upstream.cut, len(upstream.calls)) == (0, 4, 4)


class TestHunger:
    async def test_an_empty_queue_wants_its_slots_filled_and_a_full_one_nothing(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=10) as queue:
            assert queue.demand == 10
            _, lines = a_run(range(1, 101))
            queue.push(lines)
            assert queue.demand == 0

    async def test_it_says_so_when_lines_run_low(self) -> None:
        hungry = asyncio.Event()
        upstream = ScriptedUpstream()
        queue = ModelQueue(QUICK, lambda: True, hungry.set)
        queue.lanes.append(Lane(upstream, queue, 2))
        run, lines = a_run(range(1, 11))
        queue.push(lines)
        await until(lambda: run.settled)
        assert hungry.is_set()
        await queue.close()

    async def test_a_model_of_which_no_shard_is_left_is_not_hungry(self) -> None:
        hungry = asyncio.Event()
        queue = ModelQueue(QUICK, lambda: True, hungry.set)
        queue.lanes.append(Lane(ScriptedUpstream(), queue, 2))
        queue.queue_empty = True
        run, lines = a_run(range(1, 11))
        queue.push(lines)
        await until(lambda: run.settled)
        assert not hungry.is_set()
        await queue.close()

    async def test_it_wants_as_many_shards_as_have_the_lines_that_it_wants_if_they_are_like_the_last(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=10) as queue:
            assert queue.shard_demand == 1
            _, lines = a_run(range(1, 4))
            queue.push(lines)
            await until(lambda: upstream.in_flight == 3)
            assert (queue.demand, queue.shard_demand) == (10, 4)

    async def test_a_fast_upstream_wants_more_lines_ahead(self) -> None:
        async with queue_of(ScriptedUpstream(), cap=4) as queue:
            run, lines = a_run(range(1, 2001))
            queue.push(lines)
            await until(lambda: run.settled)
            queue.measure()
            assert queue.demand > 4

    async def test_long_lines_are_not_claimed_far_ahead_however_fast_the_upstream_is(self) -> None:
        async with queue_of(ScriptedUpstream(), cap=4) as queue:
            run, lines = a_run(range(1, 2001))
            for line in lines:
                line.body += b" " * (BACKLOG_BYTES // 100)
            queue.push(lines)
            await until(lambda: run.settled)
            queue.measure()
            assert 4 < queue.demand <= 4 + 100

    async def test_a_full_queue_takes_in_tenants_who_have_no_line_in_it_up_to_a_number(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream, cap=1) as queue:
            for number in range(TENANTS_AT_ONCE):
                assert not queue.full
                _, lines = a_run(range(1, 11), task_id=number, tenant=f"tenant-{number}")
                queue.push(lines)
            assert queue.full
            assert len(list(queue.tenants)) == TENANTS_AT_ONCE


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
