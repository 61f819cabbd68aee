"""Lines that are called again, and upstreams that push back."""

from __future__ import annotations

import time

import pytest
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import FIRST_LIMIT

from tests.support.scripted_upstream import ScriptedUpstream, fine, until
from tests.unit.worker.environment import a_run, finished, number_of, queue_of

LONG = RetryPolicy(max_attempts=3, base_s=1000.0, cap_s=1000.0)


class TestRetries:
    async def test_a_call_that_fails_is_made_again_until_it_succeeds(self) -> None:
        async def third_time(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(500, b"{}") if nth < 3 else await fine(body, nth)

        upstream = ScriptedUpstream(third_time)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 11))
            queue.push(lines)
            await until(lambda: run.settled)
            assert set(upstream.times.values()) == {3}
            assert all(line.ok for line in run.finished)

    async def test_when_the_attempts_run_out_the_last_answer_counts(self) -> None:
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
    async def test_without_any_answer_the_line_says_why(self, kind: NoReplyKind, code: bytes) -> None:
        async def mute(_: bytes, __: int) -> Reply | NoReply:
            return NoReply(kind, "")

        async with queue_of(ScriptedUpstream(mute)) as queue:
            run, lines = a_run()
            queue.push(lines)
            await until(lambda: run.settled)
            assert code in run.finished[0].text

    async def test_an_answer_that_is_no_json_is_asked_for_again(self) -> None:
        async def garbled(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(200, b"<html>") if nth < 3 else await fine(body, nth)

        async with queue_of(ScriptedUpstream(garbled)) as queue:
            run, lines = a_run()
            queue.push(lines)
            await until(lambda: run.settled)
            assert run.finished[0].ok

    async def test_a_line_that_waits_to_be_called_again_holds_no_slot(self) -> None:
        async def bad_start(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(500, b"{}") if number_of(body) <= 50 else await fine(body, nth)

        upstream = ScriptedUpstream(bad_start)
        async with queue_of(upstream, cap=2, policy=LONG) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: len(run.finished) == 50)
            assert finished(run) == list(range(51, 101))
            assert (run.pending, len(run.in_flight)) == (50, 0)

    async def test_many_lines_that_wait_to_be_called_again_are_work_enough(self) -> None:
        async with queue_of(ScriptedUpstream(), policy=LONG) as queue:
            _, lines = a_run(range(1, 20_001))
            for line in lines:
                queue.delay(line, 3600.0)
            assert queue.demand == 0, "a worker whose upstream is gone takes in every shard there is"

    async def test_an_exception_of_ours_costs_no_slot(self) -> None:
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
    async def test_no_answer_however_odd_keeps_a_run_from_settling(self, answer: bytes) -> None:
        async def odd(_: bytes, __: int) -> Reply | NoReply:
            return Reply(200, answer)

        async with queue_of(ScriptedUpstream(odd), cap=2) as queue:
            run, lines = a_run(range(1, 6))
            queue.push(lines)
            await until(lambda: run.settled)
            assert finished(run) == [1, 2, 3, 4, 5]


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

    async def test_a_paused_lane_does_not_keep_another_lane_of_the_model_from_working(self) -> None:
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

    async def test_the_limit_does_not_grow_on_calls_that_were_never_answered(self) -> None:
        async def mute(_: bytes, __: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.TIMEOUT, "")

        async with queue_of(ScriptedUpstream(mute)) as queue:
            run, lines = a_run(range(1, 200))
            queue.push(lines)
            await until(lambda: run.settled)
            assert queue.lanes[0].limit.value <= FIRST_LIMIT

    async def test_refusals_go_on_for_as_long_as_it_takes(self) -> None:
        async def stubborn(body: bytes, nth: int) -> Reply | NoReply:
            return await fine(body, nth) if nth > 20 else NoReply(NoReplyKind.UNREACHABLE, "")

        async with queue_of(ScriptedUpstream(stubborn)) as queue:
            run, lines = a_run(range(1, 4))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)
