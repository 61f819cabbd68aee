"""Files and uploads in memory."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.adapters.memory.tables import Memory, Tables, insert, page_after
from batchwire_server.core.ports import Page
from batchwire_server.core.records import File, Upload, UploadPart, UploadStatus, after_ms


def add_file(tables: Tables, file: File, now: int, lifetime: int | None) -> File:
    """Store a file created at `now`."""
    stored = replace(file, created_at=now, expires_at=after_ms(now, lifetime))
    insert(tables.files, stored.id, stored)
    return stored


def visible(tables: Tables, tenant: str, file_id: str, now: int) -> File | None:
    """Return a tenant's file, unless it is deleted or expired."""
    file = tables.files.get(file_id)
    return file if file and file.tenant == tenant and not is_past(file, now) else None


def upload_of(tables: Tables, tenant: str, upload_id: str, now: int) -> Upload | None:
    """Return a tenant's upload with its status at `now`."""
    upload = tables.uploads.get(upload_id)
    if upload is None or upload.tenant != tenant:
        return None
    past = upload.status is UploadStatus.PENDING and upload.expires_at <= now
    return replace(upload, status=UploadStatus.EXPIRED) if past else upload


def _pending(tables: Tables, tenant: str, upload_id: str, now: int) -> Upload | None:
    upload = upload_of(tables, tenant, upload_id, now)
    return upload if upload and upload.status is UploadStatus.PENDING else None


def is_past(file: File, now: int) -> bool:
    """Return whether a file is expired."""
    return file.expires_at is not None and file.expires_at <= now


class MemoryFiles:
    """The FileStore in memory."""

    _memory: Memory

    async def add_file(self, file: File, lifetime: int | None) -> File:
        """See FileStore."""
        async with self._memory.write() as tables:
            return add_file(tables, file, self._memory.now(), lifetime)

    async def get_file(self, tenant: str, file_id: str) -> File | None:
        """See FileStore."""
        return visible(await self._memory.read(), tenant, file_id, self._memory.now())

    async def list_files(
        self, tenant: str, *, purpose: str, after: str, limit: int, oldest_first: bool
    ) -> Page[File] | None:
        """See FileStore."""
        tables, now = await self._memory.read(), self._memory.now()
        shown = [
            file
            for file in tables.files.values()
            if file.tenant == tenant and not is_past(file, now) and purpose in {"", file.purpose}
        ]
        anchor = tables.files.get(after) or tables.deleted_files.get(after)
        return page_after(shown, anchor, tenant, after, limit, oldest_first=oldest_first)

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        """See FileStore."""
        async with self._memory.write() as tables:
            file = visible(tables, tenant, file_id, self._memory.now())
            if file:
                tables.deleted_files[file_id] = tables.files.pop(file_id)
        return file is not None

    async def add_upload(self, upload: Upload, open_for: int) -> Upload:
        """See FileStore."""
        async with self._memory.write() as tables:
            now = self._memory.now()
            stored = replace(upload, created_at=now, expires_at=now + open_for * 1000)
            insert(tables.uploads, stored.id, stored)
        return stored

    async def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """See FileStore."""
        return upload_of(await self._memory.read(), tenant, upload_id, self._memory.now())

    async def add_part(self, part: UploadPart) -> UploadPart:
        """See FileStore."""
        async with self._memory.write() as tables:
            stored = replace(part, created_at=self._memory.now())
            insert(tables.parts, stored.id, stored)
        return stored

    async def get_parts(self, upload_id: str) -> list[UploadPart]:
        """See FileStore."""
        return [part for part in (await self._memory.read()).parts.values() if part.upload_id == upload_id]

    async def complete_upload(self, upload: Upload, file: File, lifetime: int | None) -> Upload | None:
        """See FileStore."""
        async with self._memory.write() as tables:
            now = self._memory.now()
            pending = _pending(tables, upload.tenant, upload.id, now)
            if pending is None:
                return None
            completed = replace(pending, status=UploadStatus.COMPLETED, file_id=file.id)
            tables.uploads[upload.id] = completed
            add_file(tables, file, now, lifetime)
        return completed

    async def cancel_upload(self, tenant: str, upload_id: str) -> bool:
        """See FileStore."""
        async with self._memory.write() as tables:
            pending = _pending(tables, tenant, upload_id, self._memory.now())
            if pending:
                tables.uploads[upload_id] = replace(pending, status=UploadStatus.CANCELLED)
        return pending is not None
