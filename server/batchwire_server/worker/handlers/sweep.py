"""Handles `sweep` tasks: deletes rows and blobs that are no longer needed, in small steps."""

from __future__ import annotations

from batchwire_server.core import blob_keys
from batchwire_server.core.ports import BlobStore, GarbageStore, TaskQueue
from batchwire_server.core.records import Task

STEP = 100
"""The most files, uploads and batches of one step."""

UPLOAD_LIFETIME_S = 86400
"""Seconds that an upload is kept after `expires_at`, for callers that read it or repeat a call."""


class Sweeper:
    """The handler of `sweep`.

    Args:
        queue, store, blobs: the adapters that it works with.
        interval_s: seconds between sweeps.
        result_lifetime: seconds for which the results of an ended batch can still be streamed.
        batch_lifetime: seconds for which an ended batch is kept; 0 keeps it for good.
    """

    def __init__(
        self,
        queue: TaskQueue,
        store: GarbageStore,
        blobs: BlobStore,
        *,
        interval_s: float,
        result_lifetime: int,
        batch_lifetime: int,
    ) -> None:
        self._queue = queue
        self._store = store
        self._blobs = blobs
        self._interval_s = interval_s
        self._result_lifetime = result_lifetime
        self._batch_lifetime = batch_lifetime

    async def __call__(self, task: Task) -> None:
        """Sweep one step: blobs before rows, so that after a crash the rows are found again.

        Raises:
            LeaseLostError: another worker holds the task.
        """
        garbage = await self._store.garbage(STEP, self._result_lifetime)
        await self._blobs.delete(list(garbage.files.values()))
        for upload in garbage.uploads:
            await self._blobs.delete_below(blob_keys.parts_prefix(upload))
        for batch in garbage.batches:
            await self._blobs.delete_below(blob_keys.segments_prefix(batch))
        await self._store.forget(garbage)
        more = max(len(garbage.files), len(garbage.uploads), len(garbage.batches)) == STEP
        more |= await self._store.prune(STEP, upload_lifetime=UPLOAD_LIFETIME_S, batch_lifetime=self._batch_lifetime)
        await self._queue.release(task, 0.0 if more else self._interval_s)
