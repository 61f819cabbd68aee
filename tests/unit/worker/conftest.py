"""The engine's world: store and blobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from batchwire_server.adapters.blobs.memory import MemoryBlobs

from tests.ports.memory_harness import MemoryHarness
from tests.ports.stores import StoreHarness
from tests.unit.worker.world import Adapters


@pytest.fixture
def harness() -> StoreHarness:
    return MemoryHarness()


@pytest_asyncio.fixture
async def world(harness: StoreHarness) -> AsyncIterator[Adapters]:
    made = Adapters(harness, MemoryBlobs())
    yield made
    await made.close()
