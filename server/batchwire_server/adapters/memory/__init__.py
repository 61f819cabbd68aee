"""The stores in memory, for tests: one process, nothing durable, and a clock that tests set."""

from __future__ import annotations

from batchwire_server.adapters.memory.store import MemoryStore as MemoryStore
