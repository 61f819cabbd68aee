"""Sweeping: rows and blobs that are no longer needed are deleted, blobs first."""

from __future__ import annotations

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import TaskKind
from batchwire_server.worker.handlers.sweep import STEP, UPLOAD_LIFETIME_S, Sweeper

from tests.ports.stores import TTL, a_file, an_upload
from tests.unit.worker.environment import Environment


async def sweep(env: Environment, interval_s: float = 3600.0, batch_lifetime: int = 0) -> None:
    task = await env.harness.claim_one(TaskKind.SWEEP)
    sweeper = Sweeper(
        env.store, env.store, env.blobs, interval_s=interval_s, result_lifetime=0, batch_lifetime=batch_lifetime
    )
    await sweeper(task)


async def deleted_files(env: Environment, count: int) -> None:
    for _ in range(count):
        file = await env.store.add_file(a_file(), None)
        await env.blobs.put(file.blob_key, b"x")
        await env.store.delete_file("acme", file.id)


async def test_blobs_and_rows_of_deleted_files_are_deleted(env: Environment) -> None:
    await deleted_files(env, 3)
    kept = await env.store.add_file(a_file(), None)
    await env.blobs.put(kept.blob_key, b"x")
    await sweep(env)
    assert list(env.blobs.blobs) == [kept.blob_key]
    assert (await env.store.garbage(9, 0)).files == {}


async def test_the_next_sweep_waits_for_the_interval(env: Environment) -> None:
    await sweep(env)
    assert await env.store.claim(ClaimRequest("w1", [TaskKind.SWEEP], ttl_s=TTL)) == []
    await env.harness.advance(3601)
    await sweep(env)


async def test_the_next_step_follows_at_once_while_blobs_are_left(env: Environment) -> None:
    await deleted_files(env, STEP + 1)
    await sweep(env)
    assert len(env.blobs.blobs) == 1
    await sweep(env)
    assert env.blobs.blobs == {}


async def test_ended_uploads_are_deleted_after_a_day(env: Environment) -> None:
    upload = await env.store.add_upload(an_upload(), 60)
    await env.harness.advance(60 + UPLOAD_LIFETIME_S - 60)
    await sweep(env, interval_s=0.0)
    assert await env.store.get_upload("acme", upload.id) is not None
    await env.harness.advance(61)
    await sweep(env)
    assert await env.store.get_upload("acme", upload.id) is None


async def test_ended_batches_are_deleted_after_their_lifetime_and_running_ones_kept(env: Environment) -> None:
    running = await env.harness.start_batch()
    ended, _ = await env.harness.batch_in(BatchStatus.FAILED)
    await env.harness.advance(61)
    await sweep(env, interval_s=0.0)
    assert await env.harness.status(ended) is BatchStatus.FAILED, "by default, they are kept for ever"
    await sweep(env, batch_lifetime=60)
    assert await env.store.get_batch("acme", ended.id) is None
    assert await env.harness.status(running) is BatchStatus.IN_PROGRESS


async def test_the_next_step_follows_at_once_while_rows_are_left(env: Environment) -> None:
    uploads = [await env.store.add_upload(an_upload(), 60) for _ in range(STEP + 1)]
    await env.harness.advance(10 * UPLOAD_LIFETIME_S)
    await sweep(env)
    await sweep(env)
    assert [await env.store.get_upload("acme", upload.id) for upload in uploads] == [None] * len(uploads)
