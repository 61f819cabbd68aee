"""What must hold after every scenario, and the figures that it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.tables import FILE, SEGMENT, TASK
from batchwire_server.settings import Settings, load
from sqlalchemy import select

from tests.chaos.installation import FLUSH_S, Setup
from tests.chaos.witness import Call

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
    """Counts the calls of lines that had been answered before; asserts that each answer was younger than a flush when something broke.

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
    """Returns the settings of an installation, to look at its store with its own adapters."""
    names = dict(zip(setup.options[::2], setup.options[1::2], strict=True))
    return load(None, {name.removeprefix("--").replace("-", "_"): value for name, value in names.items()})


@dataclass(frozen=True, slots=True)
class Agreement:
    """How rows and blobs fit. `orphans` are keys that no row knows, `missing` those of rows that have no blob of their size; `unfinished` counts
    tasks of batches."""

    orphans: set[str]
    missing: set[str]
    unfinished: int


async def _agreement(setup: Setup) -> Agreement:
    settings = settings_of(setup)
    database = Database(settings.database_url)
    try:
        async with database.read() as connection:
            living = select(FILE.c.blob_key, FILE.c.bytes).where(FILE.c.deleted_at.is_(None))
            segments = select(SEGMENT.c.blob_key, SEGMENT.c.header_bytes + SEGMENT.c.bytes)
            sizes = {key: size for query in (living, segments) for key, size in (await connection.execute(query)).all()}
            unfinished = (await connection.execute(select(TASK.c.id).where(TASK.c.batch_id.is_not(None)))).all()
    finally:
        await database.close()
    found = {
        str(path.relative_to(settings.blob_dir)): path.stat().st_size
        for path in settings.blob_dir.rglob("*")
        if path.is_file()
    }
    missing = {key for key, size in sizes.items() if found.get(key) != size}
    return Agreement(set(found) - set(sizes), missing, len(unfinished))


def agreement(setup: Setup) -> Agreement:
    """Compares rows and blobs of an installation of which nothing runs any more."""
    return asyncio.run(_agreement(setup))
