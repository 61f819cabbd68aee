"""Handles `orphans`: now and then, looks at all that is stored, and removes what no row refers to.

Bytes come before their row, so that a crash between the two leaves bytes without one. What was stored a short while ago may still get its row: it is left alone.
"""

from __future__ import annotations

import logging
from contextlib import aclosing

from batchwire_server.core import blob_keys
from batchwire_server.core.ports import BlobStore, GarbageStore, TaskQueue
from batchwire_server.core.records import Task

log = logging.getLogger(__name__)

IDLE_S = 3600.0


class Orphans:
    """Removes orphans.

    Args:
        interval: seconds between looks; 0: it never looks.
        age: seconds that a blob must have been there without a row.
    """

    def __init__(self, queue: TaskQueue, store: GarbageStore, blobs: BlobStore, *, interval: float, age: float) -> None:
        self._queue = queue
        self._store = store
        self._blobs = blobs
        self._interval = interval
        self._age = age

    async def __call__(self, task: Task) -> None:
        """Looks at everything once, page by page. Raises LeaseLostError."""
        if self._interval:
            # By the database's clock: this machine's may be wrong, and a blob must not look old for that.
            before = task.claimed_at / 1000 - self._age
            await self._blobs.clear_temporary(before)
            for prefix in blob_keys.PREFIXES:
                await self._look(prefix, before)
        await self._queue.release(task, self._interval or IDLE_S)

    async def _look(self, prefix: str, before: float) -> None:
        removed = 0
        async with aclosing(self._blobs.list_below(prefix, before)) as pages:
            async for page in pages:
                keys = [key for key in page if blob_keys.is_ours(key)]  # whatever else is there is not ours
                referenced = await self._store.referenced(keys)
                orphans = [key for key in keys if key not in referenced]
                await self._blobs.delete(orphans)
                removed += len(orphans)
        if removed:
            log.info("%d blobs below %s had no row; they are removed", removed, prefix)
