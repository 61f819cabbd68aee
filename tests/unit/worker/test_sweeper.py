"""Sweeping: what nothing needs any more goes, bytes first."""

from __future__ import annotations

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import TaskKind
from batchwire_server.worker.handlers.sweep import STEP, UPLOAD_LIFETIME_S, Sweeper

from tests.ports.stores import TTL, a_file, an_upload
from tests.unit.worker.world import Adapters


async def sweep(world: Adapters, interval: float = 3600.0, batch_lifetime: int = 0) -> None:
    task = await world.harness.claim_one(TaskKind.SWEEP)
    sweeper = Sweeper(
        world.store, world.store, world.blobs, interval=interval, result_lifetime=0, batch_lifetime=batch_lifetime
    )
    await sweeper(task)


async def deleted_files(world: Adapters, count: int) -> None:
    for _ in range(count):
        file = await world.store.add_file(a_file(), None)
        await world.blobs.put(file.blob_key, b"x")
        await world.store.delete_file("acme", file.id)


async def test_deleted_files_lose_their_bytes_and_their_rows(world: Adapters) -> None:
    await deleted_files(world, 3)
    kept = await world.store.add_file(a_file(), None)
    await world.blobs.put(kept.blob_key, b"x")
    await sweep(world)
    assert list(world.blobs.blobs) == [kept.blob_key]
    assert (await world.store.garbage(9, 0)).files == {}


async def test_the_next_sweep_waits_for_its_time(world: Adapters) -> None:
    await sweep(world)
    assert await world.store.claim(ClaimRequest("w1", [TaskKind.SWEEP], ttl_s=TTL)) == []
    await world.harness.advance(3601)
    await sweep(world)


async def test_while_there_is_more_the_next_step_follows_at_once(world: Adapters) -> None:
    await deleted_files(world, STEP + 1)
    await sweep(world)
    assert len(world.blobs.blobs) == 1
    await sweep(world)
    assert world.blobs.blobs == {}


async def test_uploads_past_their_time_go_a_day_later(world: Adapters) -> None:
    upload = await world.store.add_upload(an_upload(), 60)
    await world.harness.advance(60 + UPLOAD_LIFETIME_S - 60)
    await sweep(world, interval=0.0)
    assert await world.store.get_upload("acme", upload.id) is not None
    await world.harness.advance(61)
    await sweep(world)
    assert await world.store.get_upload("acme", upload.id) is None


async def test_ended_batches_go_after_their_lifetime_and_running_ones_stay(world: Adapters) -> None:
    running = await world.harness.start_batch()
    ended, _ = await world.harness.batch_in(BatchStatus.FAILED)
    await world.harness.advance(61)
    await sweep(world, interval=0.0)
    assert await world.harness.status(ended) is BatchStatus.FAILED, "by default, they are kept for ever"
    await sweep(world, batch_lifetime=60)
    assert await world.store.get_batch("acme", ended.id) is None
    assert await world.harness.status(running) is BatchStatus.IN_PROGRESS


async def test_while_there_are_more_rows_to_go_the_next_step_follows_at_once(world: Adapters) -> None:
    uploads = [await world.store.add_upload(an_upload(), 60) for _ in range(STEP + 1)]
    await world.harness.advance(10 * UPLOAD_LIFETIME_S)
    await sweep(world)
    await sweep(world)
    assert [await world.store.get_upload("acme", upload.id) for upload in uploads] == [None] * len(uploads)
