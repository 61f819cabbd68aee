"""The engine's world: a real store over SQLite, blobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from batchwire_server.adapters.memory_blobs import MemoryBlobs

from tests.ports.conftest import database_url as database_url
from tests.ports.conftest import postgresql_template as postgresql_template
from tests.ports.conftest import sqlite_template as sqlite_template
from tests.ports.conftest import stage as stage
from tests.ports.stores import Stage
from tests.unit.engine.world import World


@pytest_asyncio.fixture
async def world(stage: Stage) -> AsyncIterator[World]:
    made = World(stage, MemoryBlobs())
    yield made
    await made.close()
