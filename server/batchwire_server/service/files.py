"""Files: taken in, listed, given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, fields, replace

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.blob_writer import Intake
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

LIST_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class FileSpec:
    """What an uploader says about a file; None and empty strings are unsaid. `lifetime` is in seconds."""

    filename: str = ""
    purpose: str = ""
    lifetime: int | None = None
    bytes: int | None = None
    sha256: str = ""

    def merged(self, later: FileSpec) -> FileSpec:
        """Returns this with all that `later` says."""
        said = {field.name: value for field in fields(later) if (value := getattr(later, field.name)) not in {None, ""}}
        return replace(self, **said)


class Files:
    """The use cases of files."""

    def __init__(self, store: FileStore, blobs: BlobStore, limits: Limits) -> None:
        self._store = store
        self._blobs = blobs
        self._limits = limits

    async def upload(self, tenant: str, messages: AsyncIterator[FileSpec | bytes]) -> File:
        """Takes one file in: descriptions and bytes, as they come. Raises BatchwireError and then keeps nothing."""
        file_id = ids.file_id()
        key = blob_keys.file_key(file_id)
        spec = FileSpec()
        limits = self._limits
        async with Intake(
            self._blobs, key, max_bytes=limits.max_file_bytes, max_line_bytes=limits.max_line_bytes
        ) as intake:
            described = False
            async for message in messages:
                if isinstance(message, bytes):
                    await intake.write(message)
                else:
                    described = True
                    spec = spec.merged(message)
                    check_purpose(spec.purpose)
            if not described and not intake.size:
                raise missing_property("file")
            await self.check(spec, intake)
            file = self.record(tenant, file_id, key, spec, intake)
            await intake.commit()
        return await self._keep(file, self.lifetime(spec))

    async def _keep(self, file: File, lifetime: int | None) -> File:
        """Writes a file's row. A caller that goes away meanwhile leaves no file: the row is written, then deleted, and the sweeper follows it."""
        writing = asyncio.ensure_future(self._store.add_file(file, lifetime))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            await self._store.delete_file(file.tenant, file.id)  # first: no row may be without its bytes
            await self._blobs.delete([file.blob_key])
            raise

    async def check(self, spec: FileSpec, intake: Intake) -> None:
        """Raises BatchwireError when what has been taken in cannot be what the spec says it is."""
        if not spec.purpose:
            raise missing_property("purpose")
        if not clean_filename(spec.filename):
            raise missing_parameter("filename")
        if spec.bytes is not None and spec.bytes != intake.size:
            raise content_mismatch("bytes", spec.bytes, intake.size)
        await intake.settle()
        if spec.sha256 and spec.sha256.lower() != intake.sha256:
            raise content_mismatch("sha256", spec.sha256, intake.sha256)
        if spec.purpose != "batch":
            return
        named = not self._limits.require_jsonl_name or clean_filename(spec.filename).lower().endswith(".jsonl")
        if not named or not intake.looks_like_requests():
            raise invalid_file_format()

    def lifetime(self, spec: FileSpec) -> int | None:
        """Returns how long a file is kept, in seconds; None is for ever."""
        return spec.lifetime or (self._limits.batch_file_lifetime if spec.purpose == "batch" else None)

    def record(self, tenant: str, file_id: str, key: str, spec: FileSpec, intake: Intake) -> File:
        """Returns the file that has been taken in."""
        return File(
            id=file_id,
            tenant=tenant,
            filename=clean_filename(spec.filename),
            purpose=spec.purpose,
            bytes=intake.size,
            sha256=intake.sha256,
            line_count=intake.line_count if spec.purpose == "batch" else None,
            blob_key=key,
        )

    async def get(self, tenant: str, file_id: str) -> File:
        """Returns a file. Raises BatchwireError."""
        file = await self._store.get_file(tenant, file_id)
        if file is None:
            raise file_not_found(file_id)
        return file

    async def list(
        self, tenant: str, *, purpose: str = "", limit: int | None = None, oldest_first: bool = False, after: str = ""
    ) -> Page[File]:
        """Returns a page of files. Raises BatchwireError."""
        page = await self._store.list_files(
            tenant,
            purpose=purpose,
            after=after,
            limit=check_limit(limit, LIST_LIMIT, LIST_LIMIT),
            oldest_first=oldest_first,
        )
        if page is None:
            raise unknown_after(after)
        return page

    async def delete(self, tenant: str, file_id: str) -> None:
        """Deletes a file. Raises BatchwireError."""
        if not await self._store.delete_file(tenant, file_id):
            raise file_not_found(file_id)

    async def download(
        self, tenant: str, file_id: str, offset: int = 0, limit: int | None = None
    ) -> AsyncGenerator[File | bytes, None]:
        """Yields the file, then the asked bytes of it. Raises BatchwireError."""
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
