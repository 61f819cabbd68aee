"""Records past their time, in memory."""

from __future__ import annotations

from batchwire_server.adapters.memory.files import is_past
from batchwire_server.adapters.memory.tables import Memory
from batchwire_server.core.lifecycle import TERMINAL
from batchwire_server.core.ports import Garbage
from batchwire_server.core.records import UploadStatus


class MemoryGarbage:
    """The GarbageStore in memory."""

    _memory: Memory

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """See GarbageStore."""
        tables, now = await self._memory.read(), self._memory.now()
        being_read = {batch.input_key for batch in tables.batches.values() if batch.status not in TERMINAL}
        expired = [file for file in tables.files.values() if is_past(file, now)]
        files = [file for file in (*tables.deleted_files.values(), *expired) if file.blob_key not in being_read]
        ended_uploads = {
            upload.id
            for upload in tables.uploads.values()
            if upload.status is not UploadStatus.PENDING or upload.expires_at <= now
        }
        ended_at = {
            batch.id: batch.completed_at or batch.expired_at or batch.cancelled_at
            for batch in tables.batches.values()
            if batch.status in TERMINAL
        }
        latest = now - result_lifetime * 1000
        ended_batches = {
            batch_id for batch_id, instant in ended_at.items() if instant is not None and instant <= latest
        }
        with_parts = {part.upload_id for part in tables.parts.values()}
        with_segments = {batch_id for batch_id, _ in tables.segments}
        return Garbage(
            files={file.id: file.blob_key for file in files[:limit]},
            uploads=sorted(ended_uploads & with_parts)[:limit],
            batches=sorted(ended_batches & with_segments)[:limit],
        )

    async def forget(self, garbage: Garbage) -> None:
        """See GarbageStore."""
        async with self._memory.write() as tables:
            for file_id in garbage.files:
                tables.files.pop(file_id, None)
                tables.deleted_files.pop(file_id, None)
            tables.parts = {key: part for key, part in tables.parts.items() if part.upload_id not in garbage.uploads}
            tables.segments = {key: one for key, one in tables.segments.items() if key[0] not in garbage.batches}
