"""The engine's world: store and blobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from batchwire_server.adapters.blobs.memory import MemoryBlobs

from tests.ports.memory_stage import MemoryStage
from tests.ports.stores import Stage
from tests.unit.worker.world import Adapters


@pytest.fixture
def stage() -> Stage:
    return MemoryStage()


@pytest_asyncio.fixture
async def world(stage: Stage) -> AsyncIterator[Adapters]:
    made = Adapters(stage, MemoryBlobs())
    yield made
    await made.close()
