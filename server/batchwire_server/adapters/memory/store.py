"""The memory store: one object implements all store ports, each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable

from batchwire_server.adapters.memory.batches import MemoryBatches
from batchwire_server.adapters.memory.files import MemoryFiles
from batchwire_server.adapters.memory.garbage import MemoryGarbage
from batchwire_server.adapters.memory.keys import MemoryKeys
from batchwire_server.adapters.memory.leasing import MemoryLeasing
from batchwire_server.adapters.memory.reading import MemoryReading
from batchwire_server.adapters.memory.reporting import MemoryReporting
from batchwire_server.adapters.memory.tables import Memory, wall_clock
from batchwire_server.adapters.memory.webhooks import MemoryWebhooks
from batchwire_server.core.ports import ChangeFeed


class MemoryStore(
    MemoryFiles, MemoryBatches, MemoryLeasing, MemoryReporting, MemoryReading, MemoryGarbage, MemoryKeys, MemoryWebhooks
):
    """FileStore, BatchStore, TaskQueue, GarbageStore, KeyStore and WebhookStore of one process.

    Args:
        now: the clock, in milliseconds since the epoch.
    """

    def __init__(self, now: Callable[[], int] = wall_clock) -> None:
        self._memory = Memory(now)

    async def reach(self) -> None:
        """Raise OutOfReachError if nothing can be written now."""

    @property
    def changes(self) -> ChangeFeed:
        """The change feed of the store."""
        return self._memory.changes
