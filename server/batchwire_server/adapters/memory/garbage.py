"""Garbage in memory."""

from __future__ import annotations

from collections.abc import Collection

from batchwire_server.adapters.memory.files import is_past
from batchwire_server.adapters.memory.tables import Memory, Tables
from batchwire_server.core.lifecycle import END_STAMPS, TERMINAL
from batchwire_server.core.ports import Garbage
from batchwire_server.core.records import UploadStatus


def _ended_before(tables: Tables, instant: int) -> set[str]:
    """Return the ids of the batches that ended by `instant`."""
    ends = {
        batch.id: next(filter(None, (getattr(batch, stamp) for stamp in END_STAMPS)), None)
        for batch in tables.batches.values()
        if batch.status in TERMINAL
    }
    return {batch_id for batch_id, end in ends.items() if end is not None and end <= instant}


def _being_read(tables: Tables) -> set[str | None]:
    return {batch.input_key for batch in tables.batches.values() if batch.status not in TERMINAL}


class MemoryGarbage:
    """The GarbageStore in memory."""

    _memory: Memory

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """See GarbageStore."""
        tables, now = await self._memory.read(), self._memory.now()
        being_read = _being_read(tables)
        expired = [file for file in tables.files.values() if is_past(file, now)]
        files = [file for file in (*tables.deleted_files.values(), *expired) if file.blob_key not in being_read]
        open_uploads = {
            upload.id
            for upload in tables.uploads.values()
            if upload.status is UploadStatus.PENDING and upload.expires_at > now
        }
        kept_batches = set(tables.batches) - _ended_before(tables, now - result_lifetime * 1000)
        with_parts = {part.upload_id for part in tables.parts.values()}
        with_segments = {batch_id for batch_id, _ in tables.segments}
        return Garbage(
            files={file.id: file.blob_key for file in files[:limit]},
            uploads=sorted(with_parts - open_uploads)[:limit],
            batches=sorted(with_segments - kept_batches)[:limit],
        )

    async def forget(self, garbage: Garbage) -> None:
        """See GarbageStore."""
        async with self._memory.write() as tables:
            for file_id in garbage.files:
                tables.files.pop(file_id, None)
                tables.deleted_files.pop(file_id, None)
            tables.parts = {key: part for key, part in tables.parts.items() if part.upload_id not in garbage.uploads}
            tables.segments = {key: one for key, one in tables.segments.items() if key[0] not in garbage.batches}

    async def prune(self, limit: int, *, upload_lifetime: int, batch_lifetime: int) -> bool:
        """See GarbageStore."""
        tables, now = await self._memory.read(), self._memory.now()
        latest = now - upload_lifetime * 1000
        uploads = [upload.id for upload in tables.uploads.values() if upload.expires_at <= latest][:limit]
        ended = _ended_before(tables, now - batch_lifetime * 1000) if batch_lifetime else set()
        batches = sorted(ended)[:limit]
        async with self._memory.write() as draft:
            for upload_id in uploads:
                draft.uploads.pop(upload_id, None)
            for batch_id in batches:
                draft.batches.pop(batch_id, None)
            draft.calls = {key: call for key, call in draft.calls.items() if call[1] not in batches}
        return max(len(uploads), len(batches)) == limit

    async def referenced(self, keys: Collection[str]) -> set[str]:
        """See GarbageStore."""
        tables = await self._memory.read()
        known = {file.blob_key for file in (*tables.files.values(), *tables.deleted_files.values())}
        known |= {part.blob_key for part in tables.parts.values()} | {key for _, key in tables.segments}
        read = _being_read(tables)
        return {key for key in keys if key in known or key in read}

    async def newest_needed(self, limit: int) -> list[str]:
        """See GarbageStore."""
        tables, now = await self._memory.read(), self._memory.now()
        read = _being_read(tables)
        gone = [*tables.deleted_files.values(), *(file for file in tables.files.values() if is_past(file, now))]
        live = [file for file in tables.files.values() if not is_past(file, now)]
        needed = [*live, *(file for file in gone if file.blob_key in read)]
        return [file.blob_key for file in sorted(needed, key=lambda f: (f.created_at, f.id), reverse=True)[:limit]]
