"""The truth in memory: the stores of one process, for tests. Nothing is durable, nothing waits, and time is whatever its clock says."""

from batchwire_server.adapters.memory.store import MemoryStore as MemoryStore
