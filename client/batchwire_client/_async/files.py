"""The files of a client for asyncio."""

from collections.abc import AsyncIterator
from os import PathLike

import grpc
from batchwire import v1

from batchwire_client import _requests as _messages
from batchwire_client._atomic_file import atomic_file
from batchwire_client._bytes import Progress
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.async_sources import AsyncContent, AsyncSource, chunked_async, opened_async
from batchwire_client._transport.cursors import DownloadCursor


class AsyncFiles:
    """Stores files, lists them and gives their bytes back."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._stub = v1.FileServiceStub(channel)
        self._calls = calls

    async def upload(
        self,
        source: AsyncSource,
        *,
        filename: str | None = None,
        purpose: str = "batch",
        expires_after: int | None = None,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> v1.File:
        """Uploads a file. Never repeated by itself: sending it again would make a second file.

        Args:
            source: A path, a binary file object (both read in a thread), bytes, or an iterable of bytes, also an async one.
            filename: Name of the file; by default the source's own, or "requests.jsonl".
            purpose: What the file is for: "batch" for a batch's input.
            expires_after: Seconds from its creation after which the file is deleted, from 3600 to 2592000; by default
                30 days for purpose "batch" and never for others.
            sha256: SHA-256 of the content in hexadecimal digits; the server refuses other content.
            progress: Called with the bytes sent so far and the bytes in all (None when the source does not tell).

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server does not take this content or one of the arguments.
            ServerUnavailable: The connection broke; nothing was stored.
            OSError: The path cannot be read.
        """
        async with opened_async(source) as content:
            spec = _messages.upload_spec(filename or content.filename, purpose, expires_after, content.size, sha256)
            return await self._calls.send(self._stub.UploadFile, _upload(spec, content, progress))

    async def get(self, file_id: str) -> v1.File:
        """Returns a file's description. Raises NotFound."""
        return await self._calls.safely(self._stub.GetFile, v1.GetFileRequest(file_id=file_id))

    async def list(
        self, *, purpose: str = "", order: str = "desc", page_size: int | None = None
    ) -> AsyncIterator[v1.File]:
        """Gives all files of the caller; pages are fetched as they are needed.

        Args:
            purpose: Only files of this purpose; by default all.
            order: "desc" for the newest first, "asc" for the oldest.
            page_size: Files per call to the server, from 1 to 10000, which is the default.
        """
        after: str | None = ""
        while after is not None:
            request = _messages.list_files(purpose, order, page_size, after)
            page = await self._calls.safely(self._stub.ListFiles, request)
            for file in page.data:
                yield file
            after = _messages.next_page(page)

    async def delete(self, file_id: str) -> None:
        """Deletes a file. Raises NotFound, also when it was deleted before."""
        await self._calls.once(self._stub.DeleteFile, v1.DeleteFileRequest(file_id=file_id))

    def download(self, file_id: str, *, offset: int = 0, limit: int | None = None) -> AsyncIterator[bytes]:
        """Gives a file's bytes in chunks, across broken connections.

        Args:
            file_id: Id of the file.
            offset: Bytes to skip.
            limit: Bytes to give at most; by default to the end.

        Raises:
            NotFound: There is no such file.
            InvalidRequest: `offset` is beyond the end.
            CorruptDownload: The whole file was read and its SHA-256 is wrong.
        """
        return self._calls.follow(self._stub.DownloadFile, DownloadCursor(file_id, offset, limit))

    async def download_to(
        self, file_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> v1.File:
        """Writes a file to a path, replacing what is there; on an error the path is left as it was.

        Args:
            file_id: Id of the file.
            path: Where to; the folder must exist.
            progress: Called with the bytes received so far and the bytes in all.

        Returns:
            The file's description.

        Raises:
            NotFound: There is no such file.
            CorruptDownload: The bytes do not have the file's SHA-256.
            OSError: The path cannot be written.
        """
        cursor = DownloadCursor(file_id)
        with atomic_file(path) as out:
            async for chunk in self._calls.follow(self._stub.DownloadFile, cursor):
                out.write(chunk)
                if progress is not None:
                    progress(cursor.received, cursor.expected)
        return cursor.described()


async def _upload(
    spec: v1.UploadFileRequest, content: AsyncContent, progress: Progress | None
) -> AsyncIterator[v1.UploadFileRequest]:
    yield spec
    sent = 0
    async for chunk in chunked_async(content.pieces):
        yield _messages.upload_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, content.size)
