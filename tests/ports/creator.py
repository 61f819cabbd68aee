"""Adds a batch from another process: `creator.py DATABASE_URL`."""

from __future__ import annotations

import asyncio
import sys

from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.core.records import Batch


async def add(url: str) -> None:
    """Add a batch."""
    database = Database(url)
    batch = Batch("batch_of_another", "acme", "/v1/completions", "file-1", None, 0, "24h", 86400, None)
    await SqlStore(database).add_batch(batch)
    await database.close()


if __name__ == "__main__":
    asyncio.run(add(sys.argv[1]))
