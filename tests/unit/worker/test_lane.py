"""Lanes: slots, pacing, retries, pushback and the circuit breaker."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.pacing import Pacing
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import FIRST_LIMIT, Lane
from batchwire_server.worker.model import ModelQueue
from batchwire_server.worker.shard_run import ShardRun

from tests.support.scripted_upstream import ScriptedUpstream, fine, until
from tests.unit.worker.environment import QUICK, a_run, finished, number_of, queue_of

LONG = RetryPolicy(max_attempts=3, base_s=1000.0, cap_s=1000.0)


def has_finished(run: ShardRun, count: int) -> bool:
    return len(run.finished) == count


async def test_the_limit_bounds_the_calls_in_flight() -> None:
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
            assert len(upstream.calls) == number + 2  # each finished line frees a slot for one
            gates[number].set()
            await until(partial(has_finished, run, number))
        for gate in gates.values():
            gate.set()
        await until(lambda: run.settled)


async def test_a_line_whose_progress_cannot_be_reported_has_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_run: ShardRun) -> None:
        raise RuntimeError("no progress")

    async with queue_of(ScriptedUpstream()) as queue:
        run, lines = a_run(range(1, 21))
        monkeypatch.setattr(run, "_on_progress", fail)
        queue.push(lines)
        await until(lambda: run.settled)
        assert finished(run) == list(range(1, 21))


class TestPacing:
    async def test_pacing_bounds_the_calls_and_a_timer_goes_on(self) -> None:
        upstream = ScriptedUpstream()
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(upstream, queue, 256, Pacing(60 * 100, 0, time.monotonic())))
        run, lines = a_run(range(1, 131))
        started = time.monotonic()
        queue.push(lines)
        await until(lambda: len(upstream.calls) >= 100)
        await until(lambda: run.settled)
        assert time.monotonic() - started >= 0.3  # 100 at once, then 30 at 100 a second
        assert finished(run) == list(range(1, 131))
        await queue.close()

    async def test_the_usage_of_answers_counts_against_the_tokens_per_minute(self) -> None:
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
        assert time.monotonic() - started >= 0.1  # 25 at once, then 5 at 25 a second
        await queue.close()

    async def test_a_lane_held_back_by_pacing_leaves_lines_to_another(self) -> None:
        slow, quick = ScriptedUpstream(name="slow"), ScriptedUpstream(name="quick")
        queue = ModelQueue(QUICK, lambda: True, lambda: None)
        queue.lanes.append(Lane(slow, queue, 256, Pacing(1, 0, time.monotonic())))
        queue.lanes.append(Lane(quick, queue, 256))
        run, lines = a_run(range(1, 101))
        queue.push(lines)
        await until(lambda: run.settled)
        assert (len(slow.calls), len(quick.calls)) == (1, 99)
        await queue.close()


class TestRetries:
    async def test_a_failed_call_is_retried_until_it_succeeds(self) -> None:
        async def third_time(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(500, b"{}") if nth < 3 else await fine(body, nth)

        upstream = ScriptedUpstream(third_time)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 11))
            queue.push(lines)
            await until(lambda: run.settled)
            assert set(upstream.times.values()) == {3}
            assert all(line.ok for line in run.finished)

    async def test_the_last_answer_counts_when_the_attempts_run_out(self) -> None:
        async def failing(_: bytes, nth: int) -> Reply | NoReply:
            return Reply(500, b'{"nth":%d}' % nth)

        upstream = ScriptedUpstream(failing)
        async with queue_of(upstream) as queue:
            run, lines = a_run()
            queue.push(lines)
            await until(lambda: run.settled)
            (line,) = run.finished
            assert not line.ok
            assert b'"status_code":500' in line.text
            assert b'"body":{"nth":3}' in line.text

    @pytest.mark.parametrize(
        ("kind", "code"), [(NoReplyKind.TIMEOUT, b"request_timeout"), (NoReplyKind.BROKEN, b"server_error")]
    )
    async def test_a_line_without_any_answer_gets_an_error_code(self, kind: NoReplyKind, code: bytes) -> None:
        async def mute(_: bytes, __: int) -> Reply | NoReply:
            return NoReply(kind, "")

        async with queue_of(ScriptedUpstream(mute)) as queue:
            run, lines = a_run()
            queue.push(lines)
            await until(lambda: run.settled)
            assert code in run.finished[0].text

    async def test_an_answer_that_is_not_json_is_retried(self) -> None:
        async def garbled(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(200, b"<html>") if nth < 3 else await fine(body, nth)

        async with queue_of(ScriptedUpstream(garbled)) as queue:
            run, lines = a_run()
            queue.push(lines)
            await until(lambda: run.settled)
            assert run.finished[0].ok

    async def test_a_delayed_line_holds_no_slot(self) -> None:
        async def bad_start(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(500, b"{}") if number_of(body) <= 50 else await fine(body, nth)

        upstream = ScriptedUpstream(bad_start)
        async with queue_of(upstream, cap=2, policy=LONG) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: len(run.finished) == 50)
            assert finished(run) == list(range(51, 101))
            assert (run.pending, len(run.in_flight)) == (50, 0)

    async def test_an_exception_in_the_adapter_costs_no_slot(self) -> None:
        async def buggy(body: bytes, nth: int) -> Reply | NoReply:
            if nth == 1:
                raise ZeroDivisionError
            return await fine(body, nth)

        async with queue_of(ScriptedUpstream(buggy), cap=1) as queue:
            run, lines = a_run(range(1, 6))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)

    @pytest.mark.parametrize(
        "answer",
        [
            b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"usage":{"prompt_tokens":%b}}' % (b"9" * 60),
            b'{"x":"\\ud800"}',
            b"[1,",
        ],
        ids=["deep", "huge", "surrogate", "half"],
    )
    async def test_a_run_settles_whatever_the_answers_are(self, answer: bytes) -> None:
        async def odd(_: bytes, __: int) -> Reply | NoReply:
            return Reply(200, answer)

        async with queue_of(ScriptedUpstream(odd), cap=2) as queue:
            run, lines = a_run(range(1, 6))
            queue.push(lines)
            await until(lambda: run.settled)
            assert finished(run) == [1, 2, 3, 4, 5]

    async def test_refused_connections_are_retried_without_limit(self) -> None:
        async def stubborn(body: bytes, nth: int) -> Reply | NoReply:
            return await fine(body, nth) if nth > 20 else NoReply(NoReplyKind.UNREACHABLE, "")

        async with queue_of(ScriptedUpstream(stubborn)) as queue:
            run, lines = a_run(range(1, 4))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)


class TestPushback:
    async def test_retry_after_pauses_the_whole_lane(self) -> None:
        times: list[float] = []

        async def busy(body: bytes, nth: int) -> Reply | NoReply:
            times.append(time.monotonic())
            return Reply(429, b"{}", retry_after=0.3) if len(times) == 1 else await fine(body, nth)

        async with queue_of(ScriptedUpstream(busy), cap=1) as queue:
            run, lines = a_run(range(1, 6))
            queue.push(lines)
            await until(lambda: run.settled)
        assert times[1] - times[0] >= 0.3

    async def test_a_paused_lane_leaves_lines_to_another_lane(self) -> None:
        async def busy(_: bytes, __: int) -> Reply | NoReply:
            return Reply(429, b"{}", retry_after=3600.0)

        paused, free = ScriptedUpstream(busy, name="1"), ScriptedUpstream(name="2")
        async with queue_of(paused, free, cap=1) as queue:
            run, lines = a_run(range(1, 51))
            queue.push(lines)
            await until(lambda: len(run.finished) == 49)
            assert len(paused.calls) == 1

    async def test_one_overload_halves_the_limit_once(self) -> None:
        async def overloaded(_: bytes, __: int) -> Reply | NoReply:
            return Reply(429, b"{}")

        upstream = ScriptedUpstream(overloaded)
        upstream.open.clear()
        async with queue_of(upstream, policy=LONG) as queue:
            _, lines = a_run(range(1, FIRST_LIMIT + 1))
            queue.push(lines)
            await until(lambda: upstream.in_flight == FIRST_LIMIT)
            upstream.open.set()
            await until(lambda: not upstream.in_flight and not queue.lanes[0].in_flight)
            assert queue.lanes[0].limit.value == FIRST_LIMIT // 2

    async def test_the_limit_grows_while_the_upstream_answers(self) -> None:
        async with queue_of(ScriptedUpstream()) as queue:
            run, lines = a_run(range(1, 500))
            queue.push(lines)
            await until(lambda: run.settled)
            assert queue.lanes[0].limit.value > FIRST_LIMIT

    async def test_calls_without_an_answer_do_not_raise_the_limit(self) -> None:
        async def mute(_: bytes, __: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.TIMEOUT, "")

        async with queue_of(ScriptedUpstream(mute)) as queue:
            run, lines = a_run(range(1, 200))
            queue.push(lines)
            await until(lambda: run.settled)
            assert queue.lanes[0].limit.value <= FIRST_LIMIT

    async def test_the_limit_doubles_with_each_round_of_calls(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream) as queue:
            _, lines = a_run(range(1, 16 * FIRST_LIMIT))
            queue.push(lines)
            for calls in (FIRST_LIMIT, 2 * FIRST_LIMIT, 4 * FIRST_LIMIT, 8 * FIRST_LIMIT):
                await until(lambda calls=calls: upstream.in_flight == calls)  # type: ignore[misc]  # a lambda's default
                upstream.open.set()
                upstream.open = asyncio.Event()


class TestCircuitBreaker:
    async def test_one_call_at_a_time_probes_an_upstream_that_is_down(self) -> None:
        async def refuse(_body: bytes, _nth: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.UNREACHABLE, "")

        upstream = ScriptedUpstream(refuse)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: len(upstream.calls) > FIRST_LIMIT + 5)
            assert upstream.in_flight <= 1
            assert not run.finished

    async def test_another_upstream_takes_the_lines_of_one_that_is_down(self) -> None:
        async def refuse(_body: bytes, _nth: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.UNREACHABLE, "")

        async with queue_of(ScriptedUpstream(refuse), ScriptedUpstream(fine)) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)

    async def test_a_gateway_whose_backend_is_down_costs_few_lines_an_attempt(self) -> None:
        async def away(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(502, b"{}") if len(upstream.calls) < 200 else await fine(body, nth)

        upstream = ScriptedUpstream(away)
        async with queue_of(upstream, policy=RetryPolicy(max_attempts=3, base_s=0.0001, cap_s=0.001)) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)

    async def test_responses_with_retry_after_do_not_trip_the_breaker(self) -> None:
        async def busy(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(503, b"{}", retry_after=0.05) if nth < 3 else await fine(body, nth)

        upstream = ScriptedUpstream(busy)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 61))
            queue.push(lines)
            await until(lambda: run.settled)
            assert not queue.lanes[0].breaker.tripped
            assert all(line.ok for line in run.finished)

    async def test_an_upstream_that_fails_every_call_leaves_the_lines_to_a_healthy_one(self) -> None:
        async def broken(_body: bytes, _nth: int) -> Reply | NoReply:
            return Reply(500, b"{}")

        async with queue_of(ScriptedUpstream(broken), ScriptedUpstream(fine)) as queue:
            run, lines = a_run(range(1, 501))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)
