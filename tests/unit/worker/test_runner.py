"""The runner: what a worker demands, how it divides capacity, and how it follows its batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from batchwire_server.core.catalog import Route
from batchwire_server.core.errors import UnknownModelsError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import Task, TaskKind
from batchwire_server.worker.runner import JOINING_PARTS, MAX_SHARDS_AT_ONCE, Runner

from tests.support.scripted_upstream import ScriptedUpstream, until
from tests.unit.worker.environment import Environment, input_line

LINES = 200


@asynccontextmanager
async def running(env: Environment, *upstreams: ScriptedUpstream, cap: int = 8, **more: Any) -> AsyncIterator[Runner]:
    """Yield a runner that records results, and hand its shards over in the end."""
    runner = env.runner([Route(upstream, max_concurrency=cap) for upstream in upstreams], **more)
    writing = asyncio.create_task(runner.writer.run())
    yield runner
    await runner.hand_over(0.0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def started(env: Environment, runner: Runner, model: str = "m", tenant: str = "acme") -> Task:
    """Return the task of a shard that the runner has started."""
    await env.batch(b"".join(input_line(number, model) for number in range(1, LINES + 1)), tenant=tenant)
    await env.validator(runner._catalog)(await env.harness.claim_one(TaskKind.VALIDATE))
    task = await env.harness.claim_one(TaskKind.RUN)
    await runner.start(task)
    return task


def blocked(models: tuple[str, ...] = ("m",)) -> ScriptedUpstream:
    """Return an upstream that answers once its `open` is set."""
    upstream = ScriptedUpstream(models=models)
    upstream.open.clear()
    return upstream


class TestDemand:
    async def test_a_runner_without_shards_demands_one_of_any_model(self, env: Environment) -> None:
        async with running(env, ScriptedUpstream()) as runner:
            demand = runner.demand()
            assert (demand.full_models, demand.saturated, demand.max_shards, demand.limit) == ([], [], {}, 1)

    async def test_a_model_with_a_backlog_is_saturated_for_the_tenants_in_it(self, env: Environment) -> None:
        async with running(env, blocked()) as runner:
            await started(env, runner)
            demand = runner.demand()
            assert (demand.full_models, demand.saturated) == ([], [("m", "acme")])
            assert (demand.max_shards, demand.limit) == ({"m": 1}, 1)

    async def test_the_demand_is_bounded_by_the_shards_of_one_claim(self, env: Environment) -> None:
        async with running(env, ScriptedUpstream(), cap=10_000) as runner:
            await started(env, runner)
            await until(lambda: not runner.runs)
            queue = runner._models["m"]
            queue.push([])
            queue._demand.shard_added(1, 1)
            assert queue.shard_demand > MAX_SHARDS_AT_ONCE
            assert runner.demand().limit == MAX_SHARDS_AT_ONCE

    @pytest.mark.parametrize(("shards", "empty"), [(0, True), (1, False)])
    async def test_a_claim_without_a_shard_shows_that_the_queue_is_empty(
        self, env: Environment, shards: int, *, empty: bool
    ) -> None:
        async with running(env, ScriptedUpstream()) as runner:
            await started(env, runner)
            await until(lambda: not runner.runs)
            runner.claimed(runner.demand(), shards)
            assert runner._models["m"].queue_empty is empty

    async def test_a_restricted_claim_without_a_shard_shows_nothing_of_a_saturated_model(
        self, env: Environment
    ) -> None:
        async with running(env, blocked()) as runner:
            await started(env, runner)
            runner.claimed(runner.demand(), 0)
            assert not runner._models["m"].queue_empty


class TestSharing:
    async def test_a_worker_that_starts_on_a_model_assumes_that_others_start_too(self, env: Environment) -> None:
        async with running(env, blocked(), cap=8) as runner:
            await started(env, runner)
            (lane,) = runner._models["m"].lanes
            assert lane.limit.cap == 8 // JOINING_PARTS
            await until(lambda: lane.limit.cap == 8)

    async def test_workers_divide_the_max_concurrency(self, env: Environment) -> None:
        async with running(env, blocked(), cap=9) as runner:
            await started(env, runner)
            runner._joined.clear()
            runner.share({"m": 3})
            assert [lane.limit.cap for lane in runner._models["m"].lanes] == [3]

    async def test_each_upstream_of_a_model_has_a_lane(self, env: Environment) -> None:
        async with running(env, blocked(), blocked()) as runner:
            await started(env, runner)
            await started(env, runner, tenant="other")
            assert len(runner._models["m"].lanes) == 2


class TestFollowing:
    async def test_a_cancelling_batch_stops_the_run_and_cancels_its_calls_after_the_grace(
        self, env: Environment
    ) -> None:
        upstream = blocked()
        async with running(env, upstream, cancel_grace_s=0.02) as runner:
            task = await started(env, runner)
            await until(lambda: upstream.in_flight)
            run = runner.runs[task.id]
            runner.follow(task.id, BatchStatus.CANCELLING)
            assert (run.stopped, bool(run.in_flight)) == (True, True)
            await until(lambda: run.settled)
            assert upstream.cancelled

    @pytest.mark.parametrize("status", [BatchStatus.FINALIZING, BatchStatus.CANCELLED, None])
    async def test_a_batch_that_has_left_in_progress_cancels_the_run(
        self, env: Environment, status: BatchStatus | None
    ) -> None:
        upstream = blocked()
        async with running(env, upstream) as runner:
            task = await started(env, runner)
            await until(lambda: upstream.in_flight)
            run = runner.runs[task.id]
            runner.follow(task.id, status)
            await until(lambda: run.settled and upstream.cancelled)

    async def test_a_batch_in_progress_changes_nothing(self, env: Environment) -> None:
        async with running(env, blocked()) as runner:
            task = await started(env, runner)
            runner.follow(task.id, BatchStatus.IN_PROGRESS)
            runner.follow(task.id + 1, BatchStatus.CANCELLED)
            assert not runner.runs[task.id].stopped

    async def test_suspended_lines_run_again_once_calls_are_allowed(self, env: Environment) -> None:
        upstream = blocked()
        allowed = True
        async with running(env, upstream, may_call=lambda: allowed) as runner:
            task = await started(env, runner)
            await until(lambda: upstream.in_flight)
            allowed = False
            runner.suspend()
            await until(lambda: upstream.cancelled and not upstream.in_flight)
            allowed = True
            upstream.open.set()
            runner.share({})
            await until(lambda: not runner.runs)
            assert task.shard
            assert (await env.store.batch_of(task)).completed == task.shard.lines


async def test_a_shard_of_a_model_that_no_upstream_serves_is_refused(env: Environment) -> None:
    async with running(env, ScriptedUpstream()) as known, running(env, ScriptedUpstream(models=["n"])) as runner:
        task = await started(env, known)
        with pytest.raises(UnknownModelsError, match="model m"):
            await runner.start(task)
        assert runner.runs == {}
