"""Sweeping: what nothing needs any more goes, bytes first."""

from __future__ import annotations

from batchwire_server.core.records import TaskKind
from batchwire_server.engine import sweeper
from batchwire_server.engine.sweeper import Sweeper

from tests.ports.stores import TTL, a_file
from tests.unit.engine.world import World


async def sweep(world: World, interval: float = 3600.0) -> None:
    task = await world.stage.claim_one(TaskKind.SWEEP)
    await Sweeper(world.store, world.store, world.blobs, interval=interval, result_lifetime=0)(task)


async def deleted_files(world: World, count: int) -> None:
    for _ in range(count):
        file = await world.store.add_file(a_file(), None)
        await world.blobs.put(file.blob_key, b"x")
        await world.store.delete_file("acme", file.id)


async def test_deleted_files_lose_their_bytes_and_their_rows(world: World) -> None:
    await deleted_files(world, 3)
    kept = await world.store.add_file(a_file(), None)
    await world.blobs.put(kept.blob_key, b"x")
    await sweep(world)
    assert list(world.blobs.blobs) == [kept.blob_key]
    assert (await world.store.garbage(9, 0)).files == {}


async def test_the_next_sweep_waits_for_its_time(world: World) -> None:
    await sweep(world)
    assert await world.store.claim("w1", [TaskKind.SWEEP], ttl=TTL) == []
    await world.stage.advance(3601)
    await sweep(world)


async def test_while_there_is_more_the_next_step_follows_at_once(world: World) -> None:
    await deleted_files(world, sweeper.STEP + 1)
    await sweep(world)
    assert len(world.blobs.blobs) == 1
    await sweep(world)
    assert world.blobs.blobs == {}
