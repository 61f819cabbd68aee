"""Claims shards until there are none, and prints their ids: `claimer.py DATABASE_URL WORKER`."""

from __future__ import annotations

import asyncio
import sys

from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import TaskKind


async def claim_all(url: str, worker: str) -> list[int]:
    """Claim one shard after the other; return their ids."""
    database = Database(url)
    store = SqlStore(database)
    claimed: list[int] = []
    while tasks := await store.claim(ClaimRequest(worker, [TaskKind.RUN], ttl_s=60.0)):
        claimed += [task.id for task in tasks]
    await database.close()
    return claimed


if __name__ == "__main__":
    sys.stdout.write("".join(f"{task_id}\n" for task_id in asyncio.run(claim_all(*sys.argv[1:]))))
