"""What must hold after every scenario, and the figures that it leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.tables import FILE, SEGMENT, TASK
from batchwire_server.core.errors import BlobNotFoundError
from batchwire_server.roles.adapters import Adapters, open_adapters
from batchwire_server.settings import Settings, load
from batchwire_server.worker.handlers.orphans import PREFIXES, Orphans
from sqlalchemy import select

from tests.chaos.installation import FLUSH_S, Setup
from tests.chaos.recording_upstream import Call

FAR_S = 3600.0
SLACK_S = 1.5
"""How long a flush itself may take on a busy machine: bytes, sync, commit."""


@dataclass(slots=True)
class Figures:
    """What a scenario has come to."""

    scenario: str
    setup: str
    lines: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    recovery_s: float | None = None


def repeated_calls(calls: Mapping[str, list[Call]], disturbances: list[float]) -> int:
    """Count the calls of lines that had been answered before; asserts that each answer was younger than a flush when something broke.

    A line whose answer came long before everything that was broken is durable, and must not be asked again.
    """
    repeated = 0
    for line, made in calls.items():
        for earlier, later in pairwise(made):
            if earlier.answered is None:
                continue
            repeated += 1
            excused = [
                moment
                for moment in disturbances
                if earlier.answered + FLUSH_S + SLACK_S >= moment and moment <= later.asked
            ]
            assert excused, (
                f"{line} was answered at {earlier.answered:.2f} and asked again at {later.asked:.2f}; broken at {disturbances}"
            )
    return repeated


def settings_of(setup: Setup) -> Settings:
    """Return the settings of an installation, to look at its store with its own adapters."""
    names = dict(zip(setup.options[::2], setup.options[1::2], strict=True))
    return load(None, {name.removeprefix("--").replace("-", "_"): value for name, value in names.items()})


@dataclass(frozen=True, slots=True)
class Agreement:
    """How rows and blobs fit.

    Attributes:
        orphans: keys that no row knows.
        missing: keys of rows that have no blob of their size.
        unfinished: tasks of batches.
        unswept: orphans that are still there once orphans have been swept.
    """

    orphans: set[str]
    missing: set[str]
    unfinished: int
    unswept: set[str]


async def _stored(world: Adapters) -> set[str]:
    far = time.time() + FAR_S
    return {key for prefix in PREFIXES async for page in world.blobs.list_below(prefix, far) for key in page}


async def _size(world: Adapters, key: str) -> int | None:
    try:
        return sum([len(block) async for block in world.blobs.stream(key)])
    except BlobNotFoundError:
        return None


async def _agreement(setup: Setup) -> Agreement:
    settings = settings_of(setup)
    async with open_adapters(settings) as world:
        database = Database(settings.database_url)
        async with database.read() as connection:
            living = select(FILE.c.blob_key, FILE.c.bytes).where(FILE.c.deleted_at.is_(None))
            segments = select(SEGMENT.c.blob_key, SEGMENT.c.header_bytes + SEGMENT.c.bytes)
            sizes = {key: size for query in (living, segments) for key, size in (await connection.execute(query)).all()}
            unfinished = (await connection.execute(select(TASK.c.id).where(TASK.c.batch_id.is_not(None)))).all()
        await database.close()
        missing = {key for key, size in sizes.items() if await _size(world, key) != size}
        orphans = await _stored(world) - set(sizes)
        sweeping = Orphans(world.store, world.store, world.blobs, interval=1.0, age=0.0)
        for prefix in PREFIXES:
            await sweeping._look(prefix, time.time() + FAR_S)
        assert not set(sizes) - missing - await _stored(world), "what rows refer to was swept"
        return Agreement(orphans, missing, len(unfinished), await _stored(world) - set(sizes))


def agreement(setup: Setup) -> Agreement:
    """Compare rows and blobs of an installation of which nothing runs any more, and sweeps what is left over."""
    return asyncio.run(_agreement(setup))
