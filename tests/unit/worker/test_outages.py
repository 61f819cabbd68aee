"""Lanes while an upstream warms up, is gone, or fails everything."""

from __future__ import annotations

import asyncio

from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import FIRST_LIMIT

from tests.support.scripted_upstream import ScriptedUpstream, fine, until
from tests.unit.worker.environment import a_run, queue_of


class TestRamp:
    async def test_on_a_slow_upstream_calls_double_round_by_round(self) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        async with queue_of(upstream) as queue:
            _, lines = a_run(range(1, 16 * FIRST_LIMIT))
            queue.push(lines)
            for wanted in (FIRST_LIMIT, 2 * FIRST_LIMIT, 4 * FIRST_LIMIT, 8 * FIRST_LIMIT):
                await until(lambda wanted=wanted: upstream.in_flight == wanted)  # type: ignore[misc]  # a lambda's default
                upstream.open.set()
                upstream.open = asyncio.Event()


class TestOutages:
    async def test_an_upstream_that_is_gone_is_dialled_by_one_call_at_a_time(self) -> None:
        async def gone(_body: bytes, _nth: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.UNREACHABLE, "")

        upstream = ScriptedUpstream(gone)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: len(upstream.calls) > FIRST_LIMIT + 5)
            assert upstream.in_flight <= 1
            assert not run.finished

    async def test_another_upstream_takes_the_lines_of_one_that_is_gone(self) -> None:
        async def gone(_body: bytes, _nth: int) -> Reply | NoReply:
            return NoReply(NoReplyKind.UNREACHABLE, "")

        async with queue_of(ScriptedUpstream(gone), ScriptedUpstream(fine)) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)

    async def test_a_proxy_whose_backend_is_gone_costs_few_lines_an_attempt(self) -> None:
        async def away(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(502, b"{}") if len(upstream.calls) < 200 else await fine(body, nth)

        upstream = ScriptedUpstream(away)
        async with queue_of(upstream, policy=RetryPolicy(max_attempts=3, base_s=0.0001, cap_s=0.001)) as queue:
            run, lines = a_run(range(1, 101))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)

    async def test_an_upstream_that_says_when_to_come_back_is_not_taken_for_gone(self) -> None:
        async def busy(body: bytes, nth: int) -> Reply | NoReply:
            return Reply(503, b"{}", retry_after=0.05) if nth < 3 else await fine(body, nth)

        upstream = ScriptedUpstream(busy)
        async with queue_of(upstream) as queue:
            run, lines = a_run(range(1, 61))
            queue.push(lines)
            await until(lambda: run.settled)
            assert not queue.lanes[0].breaker.tripped
            assert all(line.ok for line in run.finished)

    async def test_an_upstream_that_fails_everything_does_not_eat_the_lines_of_a_healthy_one(self) -> None:
        async def broken(_body: bytes, _nth: int) -> Reply | NoReply:
            return Reply(500, b"{}")

        async with queue_of(ScriptedUpstream(broken), ScriptedUpstream(fine)) as queue:
            run, lines = a_run(range(1, 501))
            queue.push(lines)
            await until(lambda: run.settled)
            assert all(line.ok for line in run.finished)
