"""A shard while it runs: the states of its lines, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.line_states import TERMINAL, TRANSITIONS, LineState
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker import shard_run
from batchwire_server.worker.shard_run import LineCall, ShardRun

from tests.support.scripted_upstream import Answer, ScriptedUpstream, fine, until
from tests.unit.worker.environment import a_run, finished, number_of, queue_of

S = LineState
OK = Reply(200, b"{}")
Transitions = list[tuple[LineState, LineState]]
observed: Transitions = []


class ObservedLine(LineCall, eq=False, gc=False):
    """A line that records each assignment of its state."""

    def __setattr__(self, name: str, value: object) -> None:
        """Record a transition."""
        if name == "state":
            assert isinstance(value, LineState)
            observed.append((self.state, value))
        super().__setattr__(name, value)


@pytest.fixture
def transitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transitions]:
    """Record the transitions of all lines; fail if the table lacks one of them."""
    monkeypatch.setattr(shard_run, "LineCall", ObservedLine)
    observed.clear()
    yield observed
    assert [(before, after) for before, after in observed if after not in TRANSITIONS[before]] == []


def unreliable(chance: random.Random) -> Answer:
    """Return an upstream's answers, which fail in all ways until the seventh call of a line."""
    failures: list[Reply | NoReply | Exception] = [
        Reply(400, b"{}"),
        Reply(429, b"{}", retry_after=0.001),
        Reply(500, b"{}"),
        NoReply(NoReplyKind.UNREACHABLE, ""),
        ZeroDivisionError(),
    ]

    async def answer(body: bytes, nth: int) -> Reply | NoReply:
        await asyncio.sleep(chance.choice([0.0, chance.random() * 0.02]))
        result = chance.choice([*failures, await fine(body, nth)]) if nth < 7 else await fine(body, nth)
        if isinstance(result, Exception):
            raise result
        return result

    return answer


class TestLineStates:
    async def test_the_methods_of_a_run_make_every_transition_of_the_table(self, transitions: Transitions) -> None:
        call = asyncio.current_task()
        assert call
        run, (finishes, retried, requeued, waits, fails, late) = a_run(range(1, 7))
        for line in (finishes, retried, requeued, fails, late):
            run.start(call, line)
        run.finish(call, finishes, OK, None)
        run.requeue(call, requeued)
        run.delay(call, retried)
        run.wake(retried)
        run.delay(call, fails)
        run.abort()
        for line in (waits, fails):
            run.discard(line)
        run.finish(call, late, OK, None)
        assert set(transitions) == {(before, after) for before in S for after in TRANSITIONS[before]}
        assert [line.state for line in (finishes, retried, requeued, waits, fails, late)] == [
            S.FINISHED,
            S.WAITING,
            S.WAITING,
            S.CANCELLED,
            S.CANCELLED,
            S.CANCELLED,
        ]

    async def test_lines_are_pending_unless_they_are_in_flight_or_finished(self) -> None:
        call = asyncio.current_task()
        assert call
        run, (first, second, third) = a_run(range(1, 4))
        assert run.pending == 3
        run.start(call, first)
        run.start(call, second)
        assert run.pending == 1
        run.finish(call, first, OK, None)
        run.delay(call, second)
        assert run.pending == 2
        run.wake(second)
        run.start(call, second)
        run.requeue(call, second)
        assert (run.pending, run.in_flight, finished(run)) == (2, set(), [1])
        assert third.state is S.WAITING

    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.usefixtures("transitions")
    async def test_lanes_only_make_transitions_of_the_table(self, seed: int) -> None:
        """Run lines over two upstreams that fail in all ways, while calls are cancelled."""
        chance = random.Random(seed)

        upstreams = ScriptedUpstream(unreliable(chance), name="1"), ScriptedUpstream(unreliable(chance), name="2")
        async with queue_of(*upstreams, cap=7, policy=RetryPolicy(4, 0.001, 0.004)) as queue:
            runs = [a_run(range(1, 101), task_id=task_id, tenant=f"t{task_id % 2}") for task_id in range(5)]
            for _, lines in runs:
                queue.push(lines)
            ends = [ShardRun.stop, ShardRun.cancel, ShardRun.hand_over, ShardRun.abort]
            ended = [run for run, _ in runs[: len(ends)]]
            for run, end in zip(ended, chance.sample(ends, len(ends)), strict=True):
                await until(lambda run=run: run.finished or run.settled)  # type: ignore[misc]  # a lambda's default
                for other, _ in runs:
                    other.cancel_calls()
                await asyncio.sleep(chance.random() * 0.01)
                end(run)
            await until(lambda: all(run.settled for run, _ in runs) and not queue.backlog)
            for run, lines in runs:
                done = [line.number for line in lines if line.state is S.FINISHED]
                assert finished(run) == done, "each finished line is kept once"
                assert {line.state for line in lines} <= TERMINAL
                assert run.stopped or done == list(range(1, 101))


class TestEnds:
    async def test_a_cancelled_run_keeps_its_finished_lines_and_frees_the_slots(self) -> None:
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
            assert upstream.cancelled == 4
            await until(lambda: queue.lanes[0].in_flight == 0)

    async def test_a_stopped_run_finishes_its_calls_and_starts_no_more(self) -> None:
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

    async def test_a_handed_over_run_with_pending_lines_is_not_done(self) -> None:
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

    async def test_a_handed_over_run_whose_last_calls_were_cancelled_is_not_done(self) -> None:
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

    async def test_a_handed_over_run_with_all_lines_finished_is_done(self) -> None:
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

    async def test_results_of_an_aborted_run_are_dropped(self) -> None:
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
