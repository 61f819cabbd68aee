"""What must hold after every scenario, and the numbers that it reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.adapters.sql.tables import FILE, SEGMENT, TASK
from batchwire_server.core import blob_keys
from batchwire_server.core.errors import BlobNotFoundError
from batchwire_server.roles.adapters import Adapters, open_adapters
from batchwire_server.settings import Settings, load
from batchwire_server.worker.handlers.orphans import Orphans
from sqlalchemy import select

from tests.chaos.installation import FLUSH_S, Setup
from tests.chaos.recording_upstream import Call

FAR_S = 3600.0
SLACK_S = 1.5
"""Longest duration of a flush on a busy machine: write, sync, commit."""


@dataclass(slots=True)
class ScenarioResult:
    """A row of the report."""

    scenario: str
    setup: str
    lines: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    recovery_s: float | None = None


def repeated_calls(calls: Mapping[str, list[Call]], faults_at: list[float]) -> int:
    """Count calls of lines that had already been answered.

    Asserts that a fault happened within a flush interval after each such answer: older answers are
    durable, and their lines must not be called again.
    """
    repeated = 0
    for line, made in calls.items():
        for earlier, later in pairwise(made):
            if earlier.answered_at is None:
                continue
            repeated += 1
            excuses = [
                moment
                for moment in faults_at
                if earlier.answered_at + FLUSH_S + SLACK_S >= moment and moment <= later.received_at
            ]
            assert excuses, (
                f"{line} was answered at {earlier.answered_at:.2f} and called again at {later.received_at:.2f}; faults at {faults_at}"
            )
    return repeated


def settings_of(setup: Setup) -> Settings:
    """Return the settings of an installation, with which its store can be opened."""
    names = dict(zip(setup.options[::2], setup.options[1::2], strict=True))
    return load(None, {name.removeprefix("--").replace("-", "_"): value for name, value in names.items()})


@dataclass(frozen=True, slots=True)
class StorageCheck:
    """Differences between the rows of the database and the blobs.

    Attributes:
        orphans: keys of blobs without a row.
        missing: keys in rows without a blob of the right size.
        unfinished: number of tasks of batches that are left.
        unswept: orphans that still exist after the sweep of orphans.
    """

    orphans: set[str]
    missing: set[str]
    unfinished: int
    unswept: set[str]


async def _stored_keys(adapters: Adapters) -> set[str]:
    far = time.time() + FAR_S
    return {
        key for prefix in blob_keys.PREFIXES async for page in adapters.blobs.list_below(prefix, far) for key in page
    }


async def _size(adapters: Adapters, key: str) -> int | None:
    try:
        return sum([len(block) async for block in adapters.blobs.stream(key)])
    except BlobNotFoundError:
        return None


async def _check_storage(setup: Setup) -> StorageCheck:
    settings = settings_of(setup)
    async with open_adapters(settings, Migrations.NONE) as adapters:
        database = Database(settings.database_url)
        async with database.read() as connection:
            files = select(FILE.c.blob_key, FILE.c.bytes).where(FILE.c.deleted_at.is_(None))
            segments = select(SEGMENT.c.blob_key, SEGMENT.c.header_bytes + SEGMENT.c.bytes)
            sizes = {key: size for query in (files, segments) for key, size in (await connection.execute(query)).all()}
            unfinished = (await connection.execute(select(TASK.c.id).where(TASK.c.batch_id.is_not(None)))).all()
        await database.close()
        missing = {key for key, size in sizes.items() if await _size(adapters, key) != size}
        orphans = await _stored_keys(adapters) - set(sizes)
        sweeping = Orphans(adapters.store, adapters.store, adapters.blobs, interval_s=1.0, age_s=0.0)
        for prefix in blob_keys.PREFIXES:
            await sweeping._delete_orphans(prefix, time.time() + FAR_S)
        assert not set(sizes) - missing - await _stored_keys(adapters), "what rows refer to was swept"
        return StorageCheck(orphans, missing, len(unfinished), await _stored_keys(adapters) - set(sizes))


def check_storage(setup: Setup) -> StorageCheck:
    """Compare rows and blobs of a stopped installation, then sweep the orphans."""
    return asyncio.run(_check_storage(setup))
