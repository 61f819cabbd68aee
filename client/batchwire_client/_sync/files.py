"""Files, blocking."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._atomic_file import atomic_file
from batchwire_client._bytes import Progress, chunked
from batchwire_client._transport.cursors import DownloadCursor
from batchwire_client._transport.sync_calls import Calls
from batchwire_client._transport.sync_sources import Content, Source, opened


class Files:
    """Uploads, lists, downloads and deletes files."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self._stub = v1.FileServiceStub(channel)
        self._calls = calls

    def upload(
        self,
        source: Source,
        *,
        filename: str | None = None,
        purpose: str = "batch",
        expires_after: int | None = None,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> v1.File:
        """Upload a file. The call is not retried, since a second one would store a second file.

        Args:
            source: A path, a binary file object, bytes, or an iterable of bytes, which is read in
                another thread.
            filename: Name of the file. Default: the name of the source, or "requests.jsonl".
            purpose: Purpose of the file: "batch" for the input of a batch.
            expires_after: Seconds until the file is deleted, counted from its creation, from 3600
                to 2592000. Default: 30 days for the purpose "batch", else never.
            sha256: SHA-256 of the content, in hexadecimal. The server refuses other content.
            progress: Called with the bytes sent so far and the total (None if unknown), in another
                thread.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server refuses the content or an argument.
            ServerUnavailable: The connection broke, and nothing was stored.
            OSError: The path cannot be read.
        """
        with opened(source) as content:
            spec = _requests.upload_spec(filename or content.filename, purpose, expires_after, content.size, sha256)
            return self._calls.send(self._stub.UploadFile, _upload(spec, content, progress))

    def get(self, file_id: str) -> v1.File:
        """Return the description of a file. Raises NotFound."""
        return self._calls.call_with_retries(self._stub.GetFile, v1.GetFileRequest(file_id=file_id))

    def list(self, *, purpose: str = "", order: str = "desc", page_size: int | None = None) -> Iterator[v1.File]:
        """Yield all files of the caller. Pages are fetched when they are needed.

        Args:
            purpose: Yield only files of this purpose. Default: all.
            order: "desc" for newest first, "asc" for oldest first.
            page_size: Files per call to the server, from 1 to 10000. Default: 10000.
        """
        after: str | None = ""
        while after is not None:
            page = self._calls.call_with_retries(
                self._stub.ListFiles, _requests.list_files(purpose, order, page_size, after)
            )
            yield from page.data
            after = _requests.next_page(page)

    def delete(self, file_id: str) -> None:
        """Delete a file. Raises NotFound, also if it was deleted before."""
        self._calls.call(self._stub.DeleteFile, v1.DeleteFileRequest(file_id=file_id))

    def download(self, file_id: str, *, offset: int = 0, limit: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a file in chunks, and resume when the connection breaks.

        Args:
            file_id: Id of the file.
            offset: Bytes to skip.
            limit: The largest number of bytes to yield. Default: to the end.

        Raises:
            NotFound: The file does not exist.
            InvalidRequest: `offset` is beyond the end.
            CorruptDownload: The whole file was read, and its SHA-256 is not the file's.
        """
        return self._calls.follow(self._stub.DownloadFile, DownloadCursor(file_id, offset, limit))

    def download_to(self, file_id: str, path: str | PathLike[str], *, progress: Progress | None = None) -> v1.File:
        """Download a file to a path, and replace an existing file there.

        On an error the path is unchanged.

        Args:
            file_id: Id of the file.
            path: The path. Its directory must exist.
            progress: Called with the bytes received so far and the total.

        Returns:
            The description of the file.

        Raises:
            NotFound: The file does not exist.
            CorruptDownload: The SHA-256 of the bytes is not the file's.
            OSError: The path cannot be written.
        """
        cursor = DownloadCursor(file_id)
        chunks = self._calls.follow(self._stub.DownloadFile, cursor)
        with atomic_file(path) as out:
            for chunk in chunks:
                out.write(chunk)
                if progress is not None:
                    progress(cursor.received, cursor.expected)
        return cursor.described()


def _upload(spec: v1.UploadFileRequest, content: Content, progress: Progress | None) -> Iterator[v1.UploadFileRequest]:
    yield spec
    sent = 0
    for chunk in chunked(content.pieces):
        yield _requests.upload_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, content.size)
