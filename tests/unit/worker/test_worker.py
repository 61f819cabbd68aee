"""Workers: batches from their creation to their end, with failures on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

import pytest
from batchwire_server.core.catalog import Route
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import Batch, Task, TaskKind
from batchwire_server.core.results import NoReply, Reply
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.shard_run import ShardRun

from tests.support.scripted_upstream import TIMEOUT_S, ScriptedUpstream, fine, until
from tests.unit.worker.environment import Environment, body, input_line, number_of

S = BatchStatus


def data_of(count: int, model: str = "m") -> bytes:
    return b"".join(input_line(number, model) for number in range(1, count + 1))


def numbers(entries: list[dict[str, object]]) -> list[int]:
    return [int(str(entry["custom_id"]).removeprefix("id-")) for entry in entries]


async def test_a_batch_runs_from_its_creation_to_its_files(env: Environment) -> None:
    upstream = ScriptedUpstream()
    env.start(env.worker([Route(upstream)]))
    batch = await env.ended(await env.batch(data_of(700)))
    output, errors = await env.files(batch)
    assert (batch.status, batch.total, batch.completed) == (S.COMPLETED, 700, 700)
    assert numbers(output) == list(range(1, 701))
    assert errors == []
    assert set(upstream.times.values()) == {1}
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (700, 700)
    assert batch.created_at <= (batch.in_progress_at or 0) <= (batch.finalizing_at or 0) <= (batch.completed_at or 0)


async def test_bodies_pass_through_byte_for_byte(env: Environment) -> None:
    bodies = [
        b'{"model":"m","n":1,"x":1e400,"y":0.10,"z":' + b"7" * 60 + b"}",
        '{ "model":"m", "n":2, "x":"\\u00fc ü \\ud83d\\ude00", "x":2 }'.encode(),
    ]
    data = b"".join(input_line(number).replace(body(number), bodies[number - 1]) for number in (1, 2))
    upstream = ScriptedUpstream()
    env.start(env.worker([Route(upstream)]))
    batch = await env.ended(await env.batch(data))
    assert sorted(upstream.calls) == sorted(bodies)
    file = await env.store.get_file("acme", str(batch.output_file_id))
    assert file
    written = env.blobs.blobs[file.blob_key]
    assert all(b'"body":{"asked":%b,' % one in written for one in bodies)


async def test_failures_go_to_the_error_file_with_the_upstreams_body(env: Environment) -> None:
    async def picky(asked: bytes, nth: int) -> Reply | NoReply:
        return Reply(400, b'{"error":{"message":"no"}}') if number_of(asked) % 3 == 0 else await fine(asked, nth)

    env.start(env.worker([Route(ScriptedUpstream(picky))]))
    batch = await env.ended(await env.batch(data_of(30)))
    output, errors = await env.files(batch)
    assert batch.status is S.COMPLETED
    assert numbers(errors) == list(range(3, 31, 3))
    assert len(output) == 20
    assert all(entry["response"]["body"] == {"error": {"message": "no"}} for entry in errors)
    assert all(entry["error"] is None for entry in errors)


async def test_a_model_that_hangs_does_not_delay_another_of_the_same_batch(env: Environment) -> None:
    stalled, quick = ScriptedUpstream(name="1", models=["m"]), ScriptedUpstream(name="2", models=["n"])
    stalled.open.clear()
    env.start(env.worker([Route(stalled), Route(quick)]))
    lines = b"".join(input_line(number, "mn"[number % 2]) for number in range(1, 1001))
    batch = await env.batch(lines)
    await env.wait_for(batch, lambda found: found.completed == 500)
    assert stalled.in_flight > 0
    stalled.open.set()
    batch = await env.ended(batch)
    output, _ = await env.files(batch)
    assert numbers(output) == list(range(1, 1001))


async def test_a_small_batch_of_one_tenant_ends_while_a_large_one_of_another_runs(env: Environment) -> None:
    async def slow(asked: bytes, nth: int) -> Reply | NoReply:
        await asyncio.sleep(0.01)
        return await fine(asked, nth)

    env.start(env.worker([Route(ScriptedUpstream(slow), max_concurrency=4)]))
    huge = await env.batch(data_of(4000), tenant="huge")
    await env.wait_for(huge, lambda found: found.completed)
    small = await env.ended(await env.batch(data_of(5), tenant="small"))
    assert small.status is S.COMPLETED
    assert (await env.current(huge)).status is S.IN_PROGRESS
    await env.store.cancel_batch("huge", huge.id)
    await env.files(await env.ended(huge))


async def test_a_tenant_without_lines_gets_a_shard_although_the_backlog_is_full(env: Environment) -> None:
    upstream = ScriptedUpstream()
    upstream.open.clear()
    worker = env.worker([Route(upstream, max_concurrency=4)])
    env.start(worker)
    huge = await env.batch(data_of(500), tenant="huge")
    await until(lambda: upstream.in_flight == 4)
    small = await env.batch(data_of(5), tenant="small")
    await env.wait_for(small, lambda found: found.status is S.IN_PROGRESS)
    await until(lambda: {run.batch.tenant for run in runs_of(env)} == {"huge", "small"})
    upstream.open.set()
    for batch in (small, huge):
        await env.files(await env.ended(batch))


class TestEarlyEnds:
    async def test_a_cancelled_batch_finishes_its_calls_in_flight_and_starts_no_more(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        env.start(env.worker([Route(upstream, max_concurrency=4)]))
        batch = await env.batch(data_of(100))
        await until(lambda: upstream.in_flight == 4)
        await env.store.cancel_batch("acme", batch.id)
        await until(lambda: any(run.stopped for run in runs_of(env)))
        upstream.open.set()
        batch = await env.ended(batch)
        output, errors = await env.files(batch)
        assert batch.status is S.CANCELLED
        assert (len(output), len(errors), len(upstream.calls)) == (4, 96, 4)
        assert {entry["error"]["code"] for entry in errors} == {"batch_cancelled"}

    async def test_calls_in_flight_are_cancelled_after_the_cancel_grace(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        env.start(env.worker([Route(upstream, max_concurrency=4)], cancel_grace_s=0.05))
        batch = await env.batch(data_of(10))
        await until(lambda: upstream.in_flight == 4)
        await env.store.cancel_batch("acme", batch.id)
        batch = await env.ended(batch)
        output, errors = await env.files(batch)
        assert (batch.status, len(output), len(errors), upstream.cancelled) == (S.CANCELLED, 0, 10, 4)

    async def test_calls_are_cancelled_at_the_deadline_and_finished_lines_are_kept(self, env: Environment) -> None:
        async def half(asked: bytes, nth: int) -> Reply | NoReply:
            if number_of(asked) > 5:
                await asyncio.Event().wait()
            return await fine(asked, nth)

        env.start(env.worker([Route(ScriptedUpstream(half))]))
        batch = await env.ended(await env.batch(data_of(10), window_seconds=2, completion_window="2s"))
        output, errors = await env.files(batch)
        assert batch.status is S.EXPIRED
        assert numbers(output) == [1, 2, 3, 4, 5]
        assert {entry["error"]["code"] for entry in errors} == {"batch_expired"}


def runs_of(env: Environment) -> list[ShardRun]:
    return [run for worker in env.workers for run in worker._runner.runs.values()]


class TestStopping:
    async def test_a_stopped_worker_releases_its_tasks_and_another_continues(self, env: Environment) -> None:
        async def slow(asked: bytes, nth: int) -> Reply | NoReply:
            await asyncio.sleep(0.005)
            return await fine(asked, nth)

        upstream = ScriptedUpstream(slow)
        stop, running = env.start(env.worker([Route(upstream, max_concurrency=4)]), grace_s=5.0)
        batch = await env.batch(data_of(400))
        await env.wait_for(batch, lambda found: found.completed > 20)
        stop.set()
        await running
        assert await env.store.held("w1") == []
        assert (await env.current(batch)).status is S.IN_PROGRESS
        env.start(env.worker([Route(upstream)], "w2"))
        output, _ = await env.files(await env.ended(batch))
        assert numbers(output) == list(range(1, 401))
        assert set(upstream.times.values()) == {1}, "a clean stop repeats no call"

    async def test_lines_cancelled_by_a_stop_are_run_by_the_next_worker(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        stop, running = env.start(env.worker([Route(upstream)]), grace_s=0.05)
        batch = await env.batch(data_of(6))
        await until(lambda: upstream.in_flight == 6)
        stop.set()
        await running
        upstream.open.set()
        env.start(env.worker([Route(upstream)], "w2"))
        batch = await env.ended(batch)
        output, errors = await env.files(batch)
        assert (batch.status, numbers(output), errors) == (S.COMPLETED, [1, 2, 3, 4, 5, 6], [])

    async def test_a_restarted_worker_releases_the_leases_of_its_name(self, env: Environment) -> None:
        batch = await env.batch(data_of(5))
        await env.harness.claim_one(TaskKind.VALIDATE, "w1")
        env.start(env.worker([Route(ScriptedUpstream())]))
        assert (await env.ended(batch)).status is S.COMPLETED


class TestTakeovers:
    async def test_lines_that_a_dead_worker_recorded_are_not_run_again(self, env: Environment) -> None:
        first = ScriptedUpstream()

        async def half(asked: bytes, nth: int) -> Reply | NoReply:
            if number_of(asked) > 50:
                await asyncio.Event().wait()
            return await fine(asked, nth)

        first.answer = half
        _, running = env.start(env.worker([Route(first)]))
        batch = await env.batch(data_of(100))
        await env.wait_for(batch, lambda found: found.completed == 50)
        running.cancel()  # as a kill does: nothing is released
        await asyncio.gather(running, return_exceptions=True)
        env.forget(running)
        await env.harness.advance(1000)
        second = ScriptedUpstream()
        env.start(env.worker([Route(second)], "w2"))
        output, _ = await env.files(await env.ended(batch))
        assert numbers(output) == list(range(1, 101))
        assert sorted(map(number_of, second.calls)) == list(range(51, 101))

    async def test_a_worker_whose_shard_was_taken_over_cancels_its_calls_and_records_nothing(
        self, env: Environment
    ) -> None:
        hung, quick = ScriptedUpstream(), ScriptedUpstream()
        hung.open.clear()
        _, running = env.start(env.worker([Route(hung, max_concurrency=2)]))
        batch = await env.batch(data_of(5))
        await until(lambda: hung.in_flight == 2)
        await env.harness.advance(1000)
        (taken,) = await env.store.claim(ClaimRequest("w2", [TaskKind.RUN], ttl_s=30.0))
        await until(lambda: hung.cancelled == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        env.forget(running)
        await env.store.release(taken)
        env.start(env.worker([Route(quick)], "w2"))
        batch = await env.ended(batch)
        output, _ = await env.files(batch)
        assert numbers(output) == [1, 2, 3, 4, 5]
        assert (len(hung.calls), len(quick.calls)) == (2, 5)

    async def test_a_jump_of_the_database_clock_takes_no_shard_from_its_holder(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        env.start(env.worker([Route(upstream)]))
        batch = await env.batch(data_of(5))
        await until(lambda: upstream.in_flight == 5)
        await env.harness.advance(1000)
        leapt = await env.store.renew("nobody", 1.0)
        (held,) = [held for held in await env.store.held("w1") if held.batch_status]
        async with asyncio.timeout(TIMEOUT_S):
            while await env.harness.lease_end(held) <= leapt:  # noqa: ASYNC110 - until its holder renews it
                await asyncio.sleep(0.01)
        upstream.open.set()
        assert (await env.ended(batch)).completed == 5
        assert sorted(map(number_of, upstream.calls)) == [1, 2, 3, 4, 5]

    async def test_workers_that_start_at_once_keep_to_the_max_concurrency(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        for number in range(4):
            env.start(env.worker([Route(upstream, max_concurrency=8)], f"w{number}"))
        await env.batch(data_of(3000))
        await until(lambda: upstream.in_flight == 8)
        await asyncio.sleep(0.5)  # time in which more calls could start
        assert upstream.most_in_flight == 8

    async def test_a_worker_cancels_its_calls_in_an_outage_before_its_leases_expire(self, env: Environment) -> None:
        queue = Unreachable(env)
        upstream = ScriptedUpstream()
        upstream.open.clear()
        env.start(env.worker([Route(upstream)], ttl_s=2.0, heartbeat_s=0.5, queue=queue))
        batch = await env.batch(data_of(5))
        await until(lambda: upstream.in_flight == 5)
        queue.reachable = False
        await until(lambda: upstream.cancelled == 5)
        assert await env.store.claim(ClaimRequest("w2", [TaskKind.RUN], ttl_s=30.0)) == []
        upstream.open.set()
        queue.reachable = True
        assert (await env.ended(batch)).completed == 5

    async def test_lines_that_finished_in_an_outage_are_kept(self, env: Environment) -> None:
        queue = Unreachable(env)
        upstream = ScriptedUpstream()

        async def last_hangs(asked: bytes, nth: int) -> Reply | NoReply:
            if number_of(asked) == 5 and nth == 1:
                queue.reachable = False
                await asyncio.Event().wait()
            return await fine(asked, nth)

        upstream.answer = last_hangs
        env.start(env.worker([Route(upstream)], ttl_s=2.0, heartbeat_s=0.5, queue=queue))
        batch = await env.batch(data_of(5))
        await until(lambda: upstream.cancelled == 1)
        queue.reachable = True
        assert (await env.ended(batch)).completed == 5
        assert sorted(map(number_of, upstream.calls)) == [1, 2, 3, 4, 5, 5]


class Unreachable:
    """A queue that can be unreachable."""

    def __init__(self, env: Environment) -> None:
        self._store = env.store
        self.reachable = True

    def __getattr__(self, name: str) -> object:
        if not self.reachable:
            raise ConnectionError("the database is unreachable")
        return getattr(self._store, name)


class TestReleases:
    async def test_a_task_whose_handler_failed_is_retried(
        self, env: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = env.worker([Route(ScriptedUpstream())])
        validate = worker._handlers[TaskKind.VALIDATE]
        failures = 2

        async def flaky(task: Task) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError("no such disk")
            await validate(task)

        monkeypatch.setattr(worker, "_handlers", {**worker._handlers, TaskKind.VALIDATE: flaky})
        monkeypatch.setattr("batchwire_server.worker.worker.FAILURE_DELAY_S", 0.01)
        env.start(worker)
        assert (await env.ended(await env.batch(data_of(3)))).status is S.COMPLETED

    async def test_a_batch_stays_validating_while_no_upstream_lists_its_models(
        self, env: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("batchwire_server.worker.worker.UNKNOWN_MODELS_DELAY_S", 0.02)
        monkeypatch.setattr("batchwire_server.worker.handlers.validate.FRESH_S", -1.0)
        upstream = ScriptedUpstream(models=None)
        worker = env.worker([Route(upstream)])
        env.start(worker)
        batch = await env.batch(data_of(3))
        await until(lambda: upstream.asked >= 3)
        assert (await env.current(batch)).status is S.VALIDATING
        upstream.served = ["m"]
        await env.wait_for(batch, lambda found: found.status is not S.VALIDATING)

    async def test_a_worker_claims_few_shards_while_its_upstream_is_busy(self, env: Environment) -> None:
        upstream = ScriptedUpstream()
        upstream.open.clear()
        env.start(env.worker([Route(upstream, max_concurrency=4)], policy=RetryPolicy(3, 0.01, 0.01)))
        batch = await env.batch(data_of(5000))
        await until(lambda: upstream.in_flight == 4)
        assert 1 <= len(await env.store.held("w1")) <= 4
        await env.store.cancel_batch("acme", batch.id)
        upstream.open.set()
        await env.ended(batch)


async def test_two_workers_share_a_batch_and_every_line_is_called_once(env: Environment) -> None:
    first, second = ScriptedUpstream(), ScriptedUpstream()
    for upstream, name in ((first, "w1"), (second, "w2")):
        env.start(env.worker([Route(upstream, max_concurrency=2)], name))
    batches: Collection[Batch] = [await env.batch(data_of(600)) for _ in range(3)]
    for batch in batches:
        output, _ = await env.files(await env.ended(batch))
        assert numbers(output) == list(range(1, 601))
    calls = Counter(first.calls) + Counter(second.calls)
    assert set(calls.values()) == {3}
