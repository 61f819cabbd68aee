"""Handles `orphans` tasks: lists all blobs now and then, and deletes those that no row refers to.

A blob is stored before its row, so a crash between the two leaves a blob without one. A young blob
may still get its row, and is kept.
"""

from __future__ import annotations

import logging
from contextlib import aclosing

from batchwire_server.core import blob_keys
from batchwire_server.core.ports import BlobStore, GarbageStore, TaskQueue
from batchwire_server.core.records import Task

log = logging.getLogger(__name__)

DISABLED_S = 3600.0
"""Seconds until a task that has nothing to do, because the interval is 0, is due again."""


class Orphans:
    """The handler of `orphans`.

    Args:
        queue, store, blobs: the adapters that it works with.
        interval_s: seconds between runs; 0 switches it off.
        age_s: seconds since a blob was stored, after which it may be deleted.
    """

    def __init__(
        self, queue: TaskQueue, store: GarbageStore, blobs: BlobStore, *, interval_s: float, age_s: float
    ) -> None:
        self._queue = queue
        self._store = store
        self._blobs = blobs
        self._interval_s = interval_s
        self._age_s = age_s

    async def __call__(self, task: Task) -> None:
        """Check all blobs once, page by page.

        Raises:
            LeaseLostError: another worker holds the task.
        """
        if self._interval_s:
            # Database clock: a wrong clock of this machine must not make a blob look old.
            before = task.claimed_at / 1000 - self._age_s
            await self._blobs.clear_temporary(before)
            for prefix in blob_keys.PREFIXES:
                await self._delete_orphans(prefix, before)
        await self._queue.release(task, self._interval_s or DISABLED_S)

    async def _delete_orphans(self, prefix: str, before: float) -> None:
        removed = 0
        async with aclosing(self._blobs.list_below(prefix, before)) as pages:
            async for page in pages:
                keys = [key for key in page if blob_keys.is_ours(key)]  # other keys are not the server's
                referenced = await self._store.referenced(keys)
                orphans = [key for key in keys if key not in referenced]
                await self._blobs.delete(orphans)
                removed += len(orphans)
        if removed:
            log.info("deleted %d blobs below %s that no row refers to", removed, prefix)
