"""The fixtures of the worker's tests: store and blobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from batchwire_server.adapters.blobs.memory import MemoryBlobs

from tests.ports.memory_harness import MemoryHarness
from tests.ports.stores import StoreHarness
from tests.unit.worker.environment import Environment


@pytest.fixture
def harness() -> StoreHarness:
    return MemoryHarness()


@pytest_asyncio.fixture
async def env(harness: StoreHarness) -> AsyncIterator[Environment]:
    made = Environment(harness, MemoryBlobs())
    yield made
    await made.close()
