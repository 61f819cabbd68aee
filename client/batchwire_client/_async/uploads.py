"""Uploads in parts, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._bytes import Part, Piece, Progress
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.async_sources import AsyncSource, chunked_async, opened_async, pieces_of
from batchwire_client._transport.sync_sources import (
    MEDIA_TYPE,
    PARALLEL,
    PART_BYTES,
    PartedFile,
    UploadProgress,
    part_content,
)
from batchwire_client.errors import BatchwireError


class AsyncUploads:
    """Uploads large files in parts, which are sent in parallel and retried one by one."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._stub = v1.UploadServiceStub(channel)
        self._calls = calls

    async def create(
        self,
        *,
        filename: str,
        size: int,
        purpose: str = "batch",
        mime_type: str = MEDIA_TYPE,
        expires_after: int | None = None,
    ) -> v1.Upload:
        """Create an upload, which accepts parts for an hour. The call is not retried.

        Args:
            filename: Name of the finished file.
            size: Size of the whole file in bytes, at least 1.
            purpose: Purpose of the file.
            mime_type: Media type. The server does not store it.
            expires_after: Seconds until the finished file is deleted, counted from its creation,
                from 3600 to 2592000.

        Raises:
            InvalidRequest: The server refuses an argument.
        """
        request = _requests.create_upload(filename, size, purpose, mime_type, expires_after)
        return await self._calls.call(self._stub.CreateUpload, request)

    async def add_part(self, upload_id: str, source: AsyncSource, *, progress: Progress | None = None) -> v1.UploadPart:
        """Store one part of at most 64 MiB. The call is not retried.

        A part that is stored twice does no harm: completing names one of them.

        Args:
            upload_id: Id of the upload.
            source: A path, a binary file object (both are read in a thread), bytes, an iterable of
                bytes, or an async iterable of bytes.
            progress: Called with the bytes sent so far and the total (None if unknown).

        Raises:
            NotFound: The upload does not exist.
            Conflict: The upload accepts no more parts.
            InvalidRequest: The part is empty or too large.
        """
        async with opened_async(source) as content:
            return await self._send(upload_id, content.pieces, content.size, progress)

    async def complete(self, upload_id: str, part_ids: Sequence[str], *, md5: str | None = None) -> v1.Upload:
        """Join parts into a file, in the given order. Completing again returns the upload again.

        Args:
            upload_id: Id of the upload.
            part_ids: Ids of the parts, in the order of the file.
            md5: MD5 of the whole file, in hexadecimal. The server refuses other content.

        Returns:
            The upload, with the finished `file`.

        Raises:
            NotFound: The upload does not exist.
            Conflict: The upload was cancelled or has expired.
            InvalidRequest: The parts do not have the announced size or MD5. The upload still
                accepts parts.
        """
        request = v1.CompleteUploadRequest(upload_id=upload_id, part_ids=part_ids, md5=md5 or "")
        return await self._calls.call_with_retries(self._stub.CompleteUpload, request)

    async def cancel(self, upload_id: str) -> v1.Upload:
        """Cancel an upload. Raises NotFound, or Conflict if it was completed or has expired."""
        return await self._calls.call_with_retries(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload_id))

    async def upload_in_parts(
        self,
        path: str | PathLike[str],
        part_size: int = PART_BYTES,
        *,
        parallel: int = PARALLEL,
        filename: str | None = None,
        purpose: str = "batch",
        expires_after: int | None = None,
        progress: Progress | None = None,
    ) -> v1.File:
        """Upload a file in parts, several at a time, and retry parts whose connection breaks.

        Args:
            path: The file.
            part_size: Bytes of each part, at most 64 MiB. Default: 8 MiB.
            parallel: The number of parts to send at a time.
            filename: Name of the file. Default: the name of the path.
            purpose: Purpose of the file.
            expires_after: Seconds until the file is deleted, counted from its creation, from 3600
                to 2592000.
            progress: Called with the bytes sent so far and the total.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server refuses the content or an argument.
            ServerUnavailable: The server could not be reached for too long. Nothing was stored.
            OSError: The path cannot be read.
        """
        source = await asyncio.to_thread(PartedFile, Path(path), part_size, parallel)
        upload = await self.create(
            filename=filename or source.path.name, size=source.size, purpose=purpose, expires_after=expires_after
        )
        sent = UploadProgress(source.size, progress)
        turns = asyncio.Semaphore(parallel)

        async def send_part(part: Part) -> str:
            async def attempt() -> v1.UploadPart:
                pieces = pieces_of(part_content(source.path, part), blocking=True)
                return await self._send(upload.id, pieces, part.length, sent.of(part.number))

            async with turns:
                return (await self._calls.with_retries(attempt)).id

        try:
            part_ids = await _all_or_none([send_part(part) for part in source.parts])
            return (await self.complete(upload.id, part_ids, md5=source.md5)).file
        except BaseException:
            with suppress(BatchwireError):  # the first error matters more; an abandoned upload expires
                await self._calls.call(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload.id))
            raise

    async def _send(
        self, upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
    ) -> v1.UploadPart:
        return await self._calls.send(self._stub.AddUploadPart, _part(upload_id, pieces, size, progress))


async def _all_or_none(jobs: Sequence[Coroutine[Any, Any, str]]) -> list[str]:
    """Return the results of the jobs. The first error cancels the other jobs."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _part(
    upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
) -> AsyncIterator[v1.AddUploadPartRequest]:
    yield _requests.part_of(upload_id)
    sent = 0
    async for chunk in chunked_async(pieces):
        yield _requests.part_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)
