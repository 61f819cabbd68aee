"""Files: uploaded, listed, downloaded, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, fields, replace

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.blob_writer import HashingBlobWriter
from batchwire_server.core.errors import (
    content_mismatch,
    file_not_found,
    invalid_file_format,
    invalid_value,
    missing_parameter,
    missing_property,
    range_not_satisfiable,
)
from batchwire_server.core.limits import Limits
from batchwire_server.core.ports import BlobStore, FileStore, Page
from batchwire_server.core.records import File
from batchwire_server.service.checks import check_limit, check_purpose, clean_filename, unknown_after

FILES_PAGE_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class FileSpec:
    """What an uploader declares about a file. None and empty strings mean not declared.

    `lifetime` is in seconds, `sha256` in hexadecimal.
    """

    filename: str = ""
    purpose: str = ""
    lifetime: int | None = None
    bytes: int | None = None
    sha256: str = ""

    def merged(self, later: FileSpec) -> FileSpec:
        """Return this spec, with the fields that `later` declares in place of its own."""
        declared = {
            field.name: value for field in fields(later) if (value := getattr(later, field.name)) not in {None, ""}
        }
        return replace(self, **declared)


class Files:
    """The use cases of files."""

    def __init__(self, store: FileStore, blobs: BlobStore, limits: Limits) -> None:
        self._store = store
        self._blobs = blobs
        self._limits = limits

    async def upload(self, tenant: str, messages: AsyncIterator[FileSpec | bytes]) -> File:
        """Store a file that arrives as specs and bytes, in any order; later specs win.

        Raises BatchwireError, and then stores nothing.
        """
        file_id = ids.file_id()
        key = blob_keys.file_key(file_id)
        spec = FileSpec()
        limits = self._limits
        async with HashingBlobWriter(
            self._blobs, key, max_bytes=limits.max_file_bytes, max_line_bytes=limits.max_line_bytes
        ) as writer:
            declared = False
            async for message in messages:
                if isinstance(message, bytes):
                    await writer.write(message)
                else:
                    declared = True
                    spec = spec.merged(message)
                    check_purpose(spec.purpose)
            if not declared and not writer.size:
                raise missing_property("file")
            await self.check(spec, writer)
            file = self.record(tenant, file_id, key, spec, writer)
            await writer.commit()
        return await self._add(file, self.lifetime(spec))

    async def _add(self, file: File, lifetime: int | None) -> File:
        """Write the row of a file, and return the file with its times.

        If the caller disconnects meanwhile, row and blob are deleted once the row is written.
        """
        writing = asyncio.ensure_future(self._store.add_file(file, lifetime))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            await self._store.delete_file(
                file.tenant, file.id
            )  # before its blob: no row may refer to a blob that is gone
            await self._blobs.delete([file.blob_key])
            raise

    async def check(self, spec: FileSpec, writer: HashingBlobWriter) -> None:
        """Raise BatchwireError if the written bytes do not fit what the spec declares."""
        if not spec.purpose:
            raise missing_property("purpose")
        if not clean_filename(spec.filename):
            raise missing_parameter("filename")
        if spec.bytes is not None and spec.bytes != writer.size:
            raise content_mismatch("bytes", spec.bytes, writer.size)
        await writer.finish()
        if spec.sha256 and spec.sha256.lower() != writer.sha256:
            raise content_mismatch("sha256", spec.sha256, writer.sha256)
        if spec.purpose != "batch":
            return
        named = not self._limits.require_jsonl_name or clean_filename(spec.filename).lower().endswith(".jsonl")
        if not named or not writer.looks_like_requests():
            raise invalid_file_format()

    def lifetime(self, spec: FileSpec) -> int | None:
        """Return the seconds for which a file is kept. None means for ever."""
        return spec.lifetime or (self._limits.batch_file_lifetime if spec.purpose == "batch" else None)

    def record(self, tenant: str, file_id: str, key: str, spec: FileSpec, writer: HashingBlobWriter) -> File:
        """Return the record of a file whose bytes have been written."""
        return File(
            id=file_id,
            tenant=tenant,
            filename=clean_filename(spec.filename),
            purpose=spec.purpose,
            bytes=writer.size,
            sha256=writer.sha256,
            line_count=writer.line_count if spec.purpose == "batch" else None,
            blob_key=key,
        )

    async def get(self, tenant: str, file_id: str) -> File:
        """Return a file. Raises BatchwireError if the tenant has no such file."""
        file = await self._store.get_file(tenant, file_id)
        if file is None:
            raise file_not_found(file_id)
        return file

    async def list(
        self, tenant: str, *, purpose: str = "", limit: int | None = None, oldest_first: bool = False, after: str = ""
    ) -> Page[File]:
        """Return a page of files, newest first by default.

        Args:
            tenant: the tenant of the files.
            purpose: list only files of this purpose. Empty means all.
            limit: size of the page, 1 to 10,000. None means 10,000.
            oldest_first: list the oldest files first.
            after: id of the last file of the page before. Empty means the first page.

        Raises:
            BatchwireError: the limit is out of range, or `after` is not a file of the tenant.
        """
        page = await self._store.list_files(
            tenant,
            purpose=purpose,
            after=after,
            limit=check_limit(limit, FILES_PAGE_LIMIT, FILES_PAGE_LIMIT),
            oldest_first=oldest_first,
        )
        if page is None:
            raise unknown_after(after)
        return page

    async def delete(self, tenant: str, file_id: str) -> None:
        """Delete a file. Raises BatchwireError if the tenant has no such file."""
        if not await self._store.delete_file(tenant, file_id):
            raise file_not_found(file_id)

    async def download(
        self, tenant: str, file_id: str, offset: int = 0, limit: int | None = None
    ) -> AsyncGenerator[File | bytes, None]:
        """Yield the record of a file, then its bytes in blocks.

        Args:
            tenant: the tenant of the file.
            file_id: its id.
            offset: number of the first byte.
            limit: number of bytes at most. None means up to the end.

        Raises:
            BatchwireError: the tenant has no such file, or the range starts past its end.
        """
        file = await self.get(tenant, file_id)
        if not 0 <= offset <= file.bytes:
            raise range_not_satisfiable(file.bytes)
        if limit is not None and limit < 0:
            raise invalid_value("limit", f"Invalid 'limit': expected at least 0, but got {limit} instead.")
        yield file
        end = file.bytes if limit is None else min(file.bytes, offset + limit)
        if offset < end:
            async with aclosing(self._blobs.stream(file.blob_key, offset, end)) as blocks:
                async for block in blocks:
                    yield block
