"""Uploads: large files that arrive in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.blob_writer import HashingBlobWriter
from batchwire_server.core.errors import (
    content_mismatch,
    file_not_found,
    file_too_large,
    invalid_value,
    missing_parameter,
    missing_property,
    upload_not_found,
    upload_not_pending,
)
from batchwire_server.core.limits import Limits
from batchwire_server.core.ports import BlobStore, FileStore
from batchwire_server.core.records import File, Upload, UploadPart, UploadStatus
from batchwire_server.service.checks import check_purpose, clean_filename
from batchwire_server.service.files import Files, FileSpec


@dataclass(frozen=True, slots=True)
class UploadState:
    """An upload, and its file once it is completed."""

    upload: Upload
    file: File | None = None


class Uploads:
    """The use cases of uploads."""

    def __init__(self, store: FileStore, blobs: BlobStore, files: Files, limits: Limits) -> None:
        self._store = store
        self._blobs = blobs
        self._files = files
        self._limits = limits

    async def create(self, tenant: str, spec: FileSpec) -> UploadState:
        """Create an upload that accepts parts. Raises BatchwireError."""
        size = spec.bytes or 0
        for param, value in (("bytes", size), ("filename", clean_filename(spec.filename)), ("purpose", spec.purpose)):
            if not value:
                raise missing_parameter(param)
        if size < 0:
            raise invalid_value("bytes", f"Invalid 'bytes': expected at least 1, but got {size} instead.")
        if size > self._limits.max_file_bytes:
            raise file_too_large(self._limits.max_file_bytes)
        check_purpose(spec.purpose)
        upload = Upload(
            id=ids.upload_id(),
            tenant=tenant,
            filename=clean_filename(spec.filename),
            purpose=spec.purpose,
            bytes=size,
            lifetime=spec.lifetime,
        )
        return UploadState(await self._store.add_upload(upload, self._limits.upload_lifetime))

    async def add_part(self, tenant: str, upload_id: str, blocks: AsyncIterator[bytes]) -> UploadPart:
        """Store a part. Raises BatchwireError, and then stores nothing."""
        await self._pending(tenant, upload_id)
        part_id = ids.part_id()
        key = blob_keys.part_key(upload_id, part_id)
        async with HashingBlobWriter(self._blobs, key, max_bytes=self._limits.max_part_bytes) as writer:
            async for block in blocks:
                await writer.write(block)
            if not writer.size:
                raise missing_property("data")
            await writer.commit()
        # Shielded from a caller that disconnects: the sweeper finds parts by their rows.
        return await asyncio.shield(self._store.add_part(UploadPart(part_id, upload_id, writer.size, key)))

    async def complete(self, tenant: str, upload_id: str, part_ids: Sequence[str], md5: str) -> UploadState:
        """Join parts into a file, in the order of `part_ids`.

        A second call for a completed upload returns the same file. `md5`, if not empty, is that of
        the file, in hexadecimal.

        Raises BatchwireError, and then leaves the upload as it was.
        """
        upload = await self._get(tenant, upload_id)
        if upload.status is UploadStatus.COMPLETED:
            return await self._completed(upload)
        if upload.status is not UploadStatus.PENDING:
            raise upload_not_pending(upload.status)
        parts = await self._named_parts(upload, part_ids)
        file_id = ids.file_id()
        key = blob_keys.file_key(file_id)
        spec = FileSpec(upload.filename, upload.purpose, upload.lifetime, upload.bytes)
        limits = self._limits
        async with HashingBlobWriter(
            self._blobs, key, max_bytes=limits.max_file_bytes, max_line_bytes=limits.max_line_bytes, with_md5=bool(md5)
        ) as writer:
            for part in parts:
                async for block in self._blobs.stream(part.blob_key):
                    await writer.write(block)
            await self._files.check(spec, writer)
            if md5.lower() != writer.md5:
                raise content_mismatch("md5", md5, writer.md5)
            file = self._files.record(tenant, file_id, key, spec, writer)
            await writer.commit()
        if await self._store.complete_upload(upload, file, self._files.lifetime(spec)) is None:
            # A concurrent call has completed or cancelled the upload, and its outcome stands.
            await self._blobs.delete([key])
            upload = await self._get(tenant, upload_id)
            if upload.status is not UploadStatus.COMPLETED:
                raise upload_not_pending(upload.status)
            return await self._completed(upload)
        return await self._completed(await self._get(tenant, upload_id))

    async def cancel(self, tenant: str, upload_id: str) -> UploadState:
        """Cancel an upload. Raises BatchwireError if it is completed or expired."""
        if not await self._store.cancel_upload(tenant, upload_id):
            upload = await self._get(tenant, upload_id)
            if upload.status is not UploadStatus.CANCELLED:
                raise upload_not_pending(upload.status)
        return UploadState(await self._get(tenant, upload_id))

    async def _named_parts(self, upload: Upload, part_ids: Sequence[str]) -> list[UploadPart]:
        if not part_ids:
            raise missing_parameter("part_ids")
        known = {part.id: part for part in await self._store.get_parts(upload.id)}
        for part_id in part_ids:
            if part_id not in known:
                raise invalid_value("part_ids", f"Invalid 'part_ids': the upload has no part with id '{part_id}'.")
        parts = [known[part_id] for part_id in part_ids]
        if (size := sum(part.bytes for part in parts)) != upload.bytes:
            raise content_mismatch("part_ids", f"{upload.bytes} bytes", f"{size} bytes")
        return parts

    async def _get(self, tenant: str, upload_id: str) -> Upload:
        upload = await self._store.get_upload(tenant, upload_id)
        if upload is None:
            raise upload_not_found(upload_id)
        return upload

    async def _pending(self, tenant: str, upload_id: str) -> None:
        upload = await self._get(tenant, upload_id)
        if upload.status is not UploadStatus.PENDING:
            raise upload_not_pending(upload.status)

    async def _completed(self, upload: Upload) -> UploadState:
        file = await self._store.get_file(upload.tenant, upload.file_id or "")
        if file is None:
            raise file_not_found(upload.file_id or "")
        return UploadState(upload, file)
