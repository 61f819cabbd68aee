"""Uploads: large files in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._bytes import Piece, Progress
from batchwire_client._parts import MEDIA_TYPE, PARALLEL, PART_BYTES, Part, UploadProgress
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.async_sources import Source, in_chunks, open_parts, open_source, read_part
from batchwire_client._transport.async_uploads import map_parallel
from batchwire_client.errors import BatchwireError


class AsyncUploads:
    """Uploads of large files in parts, which can be sent in parallel and retried one by one."""

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
        """Start an upload, which accepts parts for an hour. Not retried.

        Args:
            filename: name of the file.
            size: number of bytes of the whole file, at least 1.
            purpose: purpose of the file.
            mime_type: media type. The server does not store it.
            expires_after: lifetime of the file in seconds, 3600 to 2592000.

        Raises:
            InvalidRequest: The server refuses an argument.
        """
        request = _requests.create_upload(filename, size, purpose, mime_type, expires_after)
        return await self._calls.call(self._stub.CreateUpload, request)

    async def add_part(self, upload_id: str, source: Source, *, progress: Progress | None = None) -> v1.UploadPart:
        """Store one part of at most 64 MiB. Not retried, but safe to call again.

        A part that was stored twice has two ids. `complete` uses only the parts that it names.

        Args:
            upload_id: id of the upload.
            source: a path or a binary file object, both read in a thread, or bytes, or an iterable
                or async iterable of bytes.
            progress: called with the bytes sent so far and the total, which is None if unknown.

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload was completed or cancelled, or has expired.
            InvalidRequest: The part is empty or too large.
        """
        async with open_source(source) as content:
            return await self._send(upload_id, content.pieces, content.size, progress)

    async def complete(self, upload_id: str, part_ids: Sequence[str], *, md5: str | None = None) -> v1.Upload:
        """Join parts into a file. Idempotent: a completed upload is returned again.

        Args:
            upload_id: id of the upload.
            part_ids: ids of the parts, in the order of the file.
            md5: MD5 of the whole file in hexadecimal. The server refuses other content.

        Returns:
            The upload, with the finished `file`.

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload was cancelled or has expired.
            InvalidRequest: Size or MD5 of the joined parts is wrong. The upload stays open.
        """
        request = v1.CompleteUploadRequest(upload_id=upload_id, part_ids=part_ids, md5=md5 or "")
        return await self._calls.call_with_retries(self._stub.CompleteUpload, request)

    async def cancel(self, upload_id: str) -> v1.Upload:
        """Cancel an upload.

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload was completed or has expired.
        """
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
        """Upload a file in parallel parts. A part whose connection breaks is sent again.

        Args:
            path: path of the file.
            part_size: bytes per part, at most 64 MiB. Default: 8 MiB.
            parallel: number of parts to send at the same time.
            filename: name of the stored file. Default: the name of `path`.
            purpose: purpose of the file.
            expires_after: lifetime of the file in seconds, 3600 to 2592000.
            progress: called with the bytes sent so far and the total.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server refuses the content or an argument.
            ServerUnavailable: The retry policy allows no further attempt.
            OSError: The path cannot be read.
            ValueError: `part_size` or `parallel` is less than 1.
        """
        source = await open_parts(Path(path), part_size, parallel)
        upload = await self.create(
            filename=filename or source.path.name, size=source.size, purpose=purpose, expires_after=expires_after
        )
        total_progress = UploadProgress(source.size, progress)

        async def send_part(part: Part) -> str:
            async def attempt() -> v1.UploadPart:
                pieces = read_part(source.path, part)
                return await self._send(upload.id, pieces, part.length, total_progress.of(part.number))

            return (await self._calls.with_retries(attempt)).id

        try:
            part_ids = await map_parallel(send_part, source.parts, parallel)
            return (await self.complete(upload.id, part_ids, md5=source.md5)).file
        except BaseException:
            with suppress(BatchwireError):  # raise the first error; an open upload expires
                await self._calls.call(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload.id))
            raise

    async def _send(
        self, upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
    ) -> v1.UploadPart:
        return await self._calls.send(self._stub.AddUploadPart, _part(upload_id, pieces, size, progress))


async def _part(
    upload_id: str, pieces: AsyncIterator[Piece], size: int | None, progress: Progress | None
) -> AsyncIterator[v1.AddUploadPartRequest]:
    yield _requests.part_header(upload_id)
    sent = 0
    async for chunk in in_chunks(pieces):
        yield _requests.part_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)
