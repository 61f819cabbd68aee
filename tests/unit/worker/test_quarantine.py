"""Quarantined shards: run line by line until the poison pill is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, ClaimRequest
from batchwire_server.core.records import Batch, TaskKind
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.worker.quarantine import QuarantineRunner

from tests.ports.stores import RUN_KINDS, TTL
from tests.support.scripted_upstream import TIMEOUT_S, ScriptedUpstream, fine, until
from tests.unit.worker.environment import QUICK, Environment, input_line, number_of

S = BatchStatus
LINES = 6


def quarantine_runner(env: Environment, upstream: ScriptedUpstream, name: str = "apart") -> QuarantineRunner:
    """Return a runner of quarantined shards."""
    catalog = Catalog([Route(upstream)])
    return QuarantineRunner(name, env.store, env.blobs, catalog, policy=QUICK, ttl_s=TTL, heartbeat_s=TTL / 3)


async def quarantined(env: Environment, **more: object) -> Batch:
    """Return a batch in progress whose shard has just been quarantined."""
    batch = await env.batch(b"".join(input_line(number) for number in range(1, LINES + 1)), **more)
    task = await env.harness.claim_one(TaskKind.VALIDATE)
    await env.validator(Catalog([Route(ScriptedUpstream())]))(task)
    for _ in range(QUARANTINE_AFTER_CRASHES):
        await env.harness.claim_one(TaskKind.RUN, "node/0")
        await env.store.release_worker("node", crashed=True)
    return batch


async def go(runner: QuarantineRunner, stop: asyncio.Event | None = None) -> None:
    """Run until no quarantined shard is left."""
    async with asyncio.timeout(TIMEOUT_S):
        await runner.run(stop or asyncio.Event())


async def crash(env: Environment, runner: QuarantineRunner, when: Callable[[], object]) -> None:
    """Run until a condition holds, then end as a kill does: without releasing the shard."""
    running = asyncio.create_task(runner.run(asyncio.Event()))
    await until(when)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await env.store.release_worker("apart", crashed=True)


async def finalized(env: Environment, batch: Batch) -> tuple[list[int], list[tuple[int, str]]]:
    """Finalize a batch. Return the numbers of its output lines, and its errors with their codes."""
    await env.finalizer()(await env.harness.claim_one(TaskKind.FINALIZE))
    output, errors = await env.files(batch)
    answered = [int(entry["custom_id"].removeprefix("id-")) for entry in output]
    return answered, [(int(entry["custom_id"].removeprefix("id-")), entry["error"]["code"]) for entry in errors]


async def test_lines_run_one_at_a_time_and_in_order(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()
    await go(quarantine_runner(env, upstream))
    assert [number_of(call) for call in upstream.calls] == list(range(1, LINES + 1))
    assert upstream.most_in_flight == 1
    assert await finalized(env, batch) == (list(range(1, LINES + 1)), [])


async def test_a_poison_pill_gets_an_error_line_and_the_other_lines_complete(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()

    async def hangs_at_three(body: bytes, nth: int) -> Reply | NoReply:
        if number_of(body) == 3:
            await asyncio.Event().wait()
        return await fine(body, nth)

    upstream.answer = hangs_at_three
    await crash(env, quarantine_runner(env, upstream), lambda: len(upstream.calls) == 3)
    await crash(env, quarantine_runner(env, upstream), lambda: len(upstream.calls) == 4)
    await go(quarantine_runner(env, upstream))
    assert sorted(upstream.times.values()) == [1, 1, 1, 1, 1, 2]
    assert await finalized(env, batch) == ([1, 2, 4, 5, 6], [(3, "server_error")])


async def test_a_line_whose_process_was_killed_once_may_still_succeed(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()

    async def hangs_once_at_three(body: bytes, nth: int) -> Reply | NoReply:
        if number_of(body) == 3 and nth == 1:
            await asyncio.Event().wait()
        return await fine(body, nth)

    upstream.answer = hangs_once_at_three
    await crash(env, quarantine_runner(env, upstream), lambda: len(upstream.calls) == 3)
    await go(quarantine_runner(env, upstream))
    assert await finalized(env, batch) == ([1, 2, 3, 4, 5, 6], [])


async def test_a_line_that_waits_for_its_retry_is_not_the_suspect(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()
    down = True

    async def unreachable(body: bytes, nth: int) -> Reply | NoReply:
        return NoReply(NoReplyKind.UNREACHABLE, "refused") if down else await fine(body, nth)

    upstream.answer = unreachable
    runner = quarantine_runner(env, upstream)
    runner._policy = type(QUICK)(max_attempts=3, base_s=60.0, cap_s=60.0)
    waits = False

    async def look() -> None:
        nonlocal waits
        while not waits:
            (row,) = await env.harness.tasks(batch, TaskKind.RUN)
            waits = bool(upstream.calls) and not upstream.in_flight and row["suspect"] is None
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    await crash(env, runner, lambda: waits)
    await looking
    down = False
    await go(quarantine_runner(env, upstream))
    assert await finalized(env, batch) == (list(range(1, LINES + 1)), [])


async def test_an_upstream_that_is_down_fails_no_line(env: Environment) -> None:
    batch = await quarantined(env)

    async def comes_back(body: bytes, nth: int) -> Reply | NoReply:
        return Reply(502, b"{}") if nth <= 2 * QUICK.max_attempts else await fine(body, nth)

    await go(quarantine_runner(env, ScriptedUpstream(comes_back)))
    assert await finalized(env, batch) == (list(range(1, LINES + 1)), [])


async def test_a_clean_stop_releases_the_shard_without_a_suspect(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()
    upstream.open.clear()
    stop = asyncio.Event()
    running = asyncio.create_task(go(quarantine_runner(env, upstream), stop))
    await until(lambda: upstream.in_flight)
    stop.set()
    await running
    upstream.open.set()
    (task,) = await env.store.claim(ClaimRequest("other", RUN_KINDS, ttl_s=TTL, quarantined=True))
    assert task.suspect is None
    await env.store.release(task)
    await go(quarantine_runner(env, upstream))
    assert await finalized(env, batch) == (list(range(1, LINES + 1)), [])


async def test_cancelling_the_batch_ends_the_run(env: Environment) -> None:
    batch = await quarantined(env)
    upstream = ScriptedUpstream()
    upstream.open.clear()
    running = asyncio.create_task(go(quarantine_runner(env, upstream)))
    await until(lambda: upstream.in_flight)
    await env.store.cancel_batch(batch.tenant, batch.id)
    await running
    assert await finalized(env, batch) == ([], [(number, "batch_cancelled") for number in range(1, LINES + 1)])


async def test_a_run_whose_shard_was_taken_over_is_aborted(env: Environment) -> None:
    await quarantined(env)
    upstream = ScriptedUpstream()
    upstream.open.clear()
    running = asyncio.create_task(go(quarantine_runner(env, upstream)))
    await until(lambda: upstream.in_flight)
    await env.store.release_worker("apart", crashed=False)
    (task,) = await env.store.claim(ClaimRequest("other", RUN_KINDS, ttl_s=TTL, quarantined=True))
    await running
    assert upstream.cancelled == 1
    assert await env.store.segments_of(task) == []
