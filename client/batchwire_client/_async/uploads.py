"""The uploads in parts of a client for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import grpc
from batchwire import v1

from batchwire_client import _requests as _messages
from batchwire_client._bytes import Part, Piece, Progress
from batchwire_client._sources import MEDIA_TYPE, PARALLEL, PART_BYTES, PartedFile, UploadProgress, part_content
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.async_sources import AsyncSource, chunked_async, opened_async, pieces_of
from batchwire_client.errors import BatchwireError


class AsyncUploads:
    """Takes large files in parts that can be sent in parallel and sent again one by one."""

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
        """Opens an upload, which takes parts for an hour. Not repeated.

        Args:
            filename: Name that the file will have.
            size: Bytes of the whole file, at least 1.
            purpose: What the file is for.
            mime_type: Media type; not kept.
            expires_after: Seconds from its creation after which the finished file is deleted, from 3600 to 2592000.

        Raises:
            InvalidRequest: The server does not take one of the arguments.
        """
        request = _messages.create_upload(filename, size, purpose, mime_type, expires_after)
        return await self._calls.once(self._stub.CreateUpload, request)

    async def add_part(self, upload_id: str, source: AsyncSource, *, progress: Progress | None = None) -> v1.UploadPart:
        """Stores one part, of at most 64 MiB. Not repeated; a part stored twice does no harm when completing names one.

        Args:
            upload_id: Id of the upload.
            source: A path, a binary file object (both read in a thread), bytes, or an iterable of bytes, also an async one.
            progress: Called with the bytes sent so far and the bytes in all (None when unknown).

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload takes no more parts.
            InvalidRequest: The part is empty or too large.
        """
        async with opened_async(source) as content:
            return await self._send(upload_id, content.pieces, content.size, progress)

    async def complete(self, upload_id: str, part_ids: Sequence[str], *, md5: str | None = None) -> v1.Upload:
        """Joins parts into a file, in the order given. May be repeated: a completed upload is returned again.

        Args:
            upload_id: Id of the upload.
            part_ids: Ids of the parts, in the order of the file.
            md5: MD5 of the whole file in hexadecimal digits; the server refuses other content.

        Returns:
            The upload, with the finished `file`.

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload was cancelled or has expired.
            InvalidRequest: The parts do not make the file announced; the upload still takes parts.
        """
        request = v1.CompleteUploadRequest(upload_id=upload_id, part_ids=part_ids, md5=md5 or "")
        return await self._calls.safely(self._stub.CompleteUpload, request)

    async def cancel(self, upload_id: str) -> v1.Upload:
        """Gives an upload up. Raises NotFound, or Conflict when it was completed or has expired."""
        return await self._calls.safely(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload_id))

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
        """Uploads a file in parts, several at a time; a part whose connection broke is sent again.

        Args:
            path: The file.
            part_size: Bytes of each part, at most 64 MiB; by default 8 MiB.
            parallel: How many parts to send at a time.
            filename: Name of the file; by default the path's own.
            purpose: What the file is for.
            expires_after: Seconds from its creation after which the file is deleted, from 3600 to 2592000.
            progress: Called with the bytes sent so far and the bytes in all.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server does not take this content or one of the arguments.
            ServerUnavailable: The server could not be reached for too long; nothing was stored.
            OSError: The path cannot be read.
        """
        source = await asyncio.to_thread(PartedFile, Path(path), part_size, parallel)
        upload = await self.create(
            filename=filename or source.path.name, size=source.size, purpose=purpose, expires_after=expires_after
        )
        tally = UploadProgress(source.size, progress)
        turns = asyncio.Semaphore(parallel)

        async def send_part(part: Part) -> str:
            async def attempt() -> v1.UploadPart:
                pieces = pieces_of(part_content(source.path, part), blocking=True)
                return await self._send(upload.id, pieces, part.length, tally.of(part.number))

            async with turns:
                return (await self._calls.repeated(attempt)).id

        try:
            part_ids = await _all_or_none([send_part(part) for part in source.parts])
            return (await self.complete(upload.id, part_ids, md5=source.md5)).file
        except BaseException:
            with suppress(BatchwireError):  # what made it fail matters more; an upload left over expires
                await self._calls.once(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload.id))
            raise

    async def _send(
        self, upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
    ) -> v1.UploadPart:
        return await self._calls.send(self._stub.AddUploadPart, _part(upload_id, pieces, size, progress))


async def _all_or_none(jobs: Sequence[Coroutine[Any, Any, str]]) -> list[str]:
    """What the jobs return; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _part(
    upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
) -> AsyncIterator[v1.AddUploadPartRequest]:
    yield _messages.part_of(upload_id)
    sent = 0
    async for chunk in chunked_async(pieces):
        yield _messages.part_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)
