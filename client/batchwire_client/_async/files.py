"""Files: upload, list, delete, download."""

from __future__ import annotations

from collections.abc import AsyncIterator
from os import PathLike

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._atomic_file import atomic_file
from batchwire_client._bytes import Progress
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.async_sources import Content, Source, in_chunks, open_source
from batchwire_client._transport.cursors import DownloadCursor


class AsyncFiles:
    """The files of the caller: upload, list, delete, download."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._stub = v1.FileServiceStub(channel)
        self._calls = calls

    async def upload(
        self,
        source: Source,
        *,
        filename: str | None = None,
        purpose: str = "batch",
        expires_after: int | None = None,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> v1.File:
        """Upload a file. Not retried: a second attempt could create a second file.

        Args:
            source: a path or a binary file object, both read in a thread, or bytes, or an iterable
                or async iterable of bytes.
            filename: name of the stored file. Default: the name of the source, else
                "requests.jsonl".
            purpose: purpose of the file. Input files of batches have the purpose "batch".
            expires_after: lifetime of the file in seconds, 3600 to 2592000.
                Default: 30 days for the purpose "batch", never for others.
            sha256: SHA-256 of the content in hexadecimal. The server refuses other content.
            progress: called with the bytes sent so far and the total, which is None if unknown.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server refuses the content or an argument.
            ServerUnavailable: The connection broke. The file is stored only if it broke after the
                last byte.
            OSError: The path cannot be read.
        """
        async with open_source(source) as content:
            header = _requests.upload_header(filename or content.filename, purpose, expires_after, content.size, sha256)
            return await self._calls.send(self._stub.UploadFile, _upload(header, content, progress))

    async def get(self, file_id: str) -> v1.File:
        """Return the description of a file. Raise NotFound if there is no such file."""
        return await self._calls.call_with_retries(self._stub.GetFile, v1.GetFileRequest(file_id=file_id))

    async def list(
        self, *, purpose: str = "", order: str = "desc", page_size: int | None = None
    ) -> AsyncIterator[v1.File]:
        """Yield all files of the caller. Pages are fetched as needed.

        Args:
            purpose: list only files of this purpose. Empty means all.
            order: "desc" lists the newest first, "asc" the oldest.
            page_size: files per page, 1 to 10000. Default: 10000.

        Raises:
            ValueError: `order` is unknown.
        """
        after: str | None = ""
        while after is not None:
            request = _requests.list_files(purpose, order, page_size, after)
            page = await self._calls.call_with_retries(self._stub.ListFiles, request)
            for file in page.data:
                yield file
            after = _requests.next_page(page)

    async def delete(self, file_id: str) -> None:
        """Delete a file. Not retried.

        Raises:
            NotFound: There is no such file, or it was deleted before.
        """
        await self._calls.call(self._stub.DeleteFile, v1.DeleteFileRequest(file_id=file_id))

    def download(self, file_id: str, *, offset: int = 0, limit: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of a file in chunks. A broken connection resumes after the last byte.

        Args:
            file_id: id of the file.
            offset: number of bytes to skip.
            limit: largest number of bytes to yield. Default: up to the end.

        Raises:
            NotFound: There is no such file.
            InvalidRequest: `offset` is beyond the end of the file.
            CorruptDownload: The whole file was downloaded, and its SHA-256 is wrong.
            ServerUnavailable: The retry policy allows no further attempt.
        """
        return self._calls.follow(self._stub.DownloadFile, DownloadCursor(file_id, offset, limit))

    async def download_to(
        self, file_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> v1.File:
        """Download a file to a path and replace what is there. On an error the path is unchanged.

        Args:
            file_id: id of the file.
            path: path of the new file. Its directory must exist.
            progress: called with the bytes received so far and the total.

        Returns:
            The description of the file.

        Raises:
            NotFound: There is no such file.
            CorruptDownload: The SHA-256 of the downloaded bytes is wrong.
            ServerUnavailable: The retry policy allows no further attempt.
            OSError: The path cannot be written.
        """
        cursor = DownloadCursor(file_id)
        with atomic_file(path) as out:
            async for chunk in self._calls.follow(self._stub.DownloadFile, cursor):
                out.write(chunk)
                if progress is not None:
                    progress(cursor.received, cursor.expected)
        return cursor.description()


async def _upload(
    header: v1.UploadFileRequest, content: Content, progress: Progress | None
) -> AsyncIterator[v1.UploadFileRequest]:
    yield header
    sent = 0
    async for chunk in in_chunks(content.pieces):
        yield _requests.upload_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, content.size)
