"""The harness of the memory store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

from batchwire_server.adapters.memory import MemoryStore
from batchwire_server.adapters.memory.tables import wall_clock
from batchwire_server.core.ports import ChangeFeed
from batchwire_server.core.records import Batch, Segment, Task

from tests.ports.stores import FROZEN_AT_MS, StoreHarness


class MemoryHarness(StoreHarness):
    """A store in memory, with a clock of its own."""

    store: MemoryStore

    def __init__(self) -> None:
        self._clock = wall_clock
        self._ahead = 0
        self.store = MemoryStore(self._now)
        self._memory = self.store._memory

    def _now(self) -> int:
        return self._clock() + self._ahead

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[ChangeFeed]:
        yield self.store.changes

    async def advance(self, seconds: float) -> None:
        self._ahead += int(seconds * 1000)

    async def freeze_clock(self) -> None:
        self._clock, self._ahead = lambda: FROZEN_AT_MS, 0

    async def expire_lease(self, task: Task) -> None:
        async with self._memory.write() as tables:
            tables.tasks[task.id] = replace(tables.tasks[task.id], lease_until=0)

    async def all_tasks(self) -> list[dict[str, Any]]:
        kept = [asdict(queued) for queued in self._memory.tables.tasks.values()]
        return [{**queued.pop("task"), **queued} for queued in kept]

    async def all_segments(self) -> list[Segment]:
        return list(self._memory.tables.segments.values())

    async def stored_files(self) -> list[Any]:
        return [self._memory.tables.files, self._memory.tables.deleted_files]

    async def stored_batch(self, batch: Batch) -> Any:
        return self._memory.tables.batches[batch.id]
