"""Uploads in parts, blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from pathlib import Path

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._bytes import Part, Piece, Progress, chunked
from batchwire_client._transport.sync_calls import Calls
from batchwire_client._transport.sync_sources import (
    MEDIA_TYPE,
    PARALLEL,
    PART_BYTES,
    PartedFile,
    Source,
    UploadProgress,
    opened,
    part_content,
)
from batchwire_client.errors import BatchwireError


class Uploads:
    """Uploads large files in parts, which are sent in parallel and retried one by one."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self._stub = v1.UploadServiceStub(channel)
        self._calls = calls

    def create(
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
        return self._calls.call(self._stub.CreateUpload, request)

    def add_part(self, upload_id: str, source: Source, *, progress: Progress | None = None) -> v1.UploadPart:
        """Store one part of at most 64 MiB. The call is not retried.

        A part that is stored twice does no harm: completing names one of them.

        Args:
            upload_id: Id of the upload.
            source: A path, a binary file object, bytes, or an iterable of bytes, which is read in
                another thread.
            progress: Called with the bytes sent so far and the total (None if unknown), in another
                thread.

        Raises:
            NotFound: The upload does not exist.
            Conflict: The upload accepts no more parts.
            InvalidRequest: The part is empty or too large.
        """
        with opened(source) as content:
            return self._send(upload_id, content.pieces, content.size, progress)

    def complete(self, upload_id: str, part_ids: Sequence[str], *, md5: str | None = None) -> v1.Upload:
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
        return self._calls.call_with_retries(self._stub.CompleteUpload, request)

    def cancel(self, upload_id: str) -> v1.Upload:
        """Cancel an upload. Raises NotFound, or Conflict if it was completed or has expired."""
        return self._calls.call_with_retries(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload_id))

    def upload_in_parts(
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
            progress: Called with the bytes sent so far and the total, in other threads, one call at
                a time.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server refuses the content or an argument.
            ServerUnavailable: The server could not be reached for too long. Nothing was stored.
            OSError: The path cannot be read.
        """
        source = PartedFile(Path(path), part_size, parallel)
        upload = self.create(
            filename=filename or source.path.name, size=source.size, purpose=purpose, expires_after=expires_after
        )
        sent = UploadProgress(source.size, progress)

        def send_part(part: Part) -> str:
            def attempt() -> v1.UploadPart:
                pieces = part_content(source.path, part)
                return self._send(upload.id, pieces, part.length, sent.of(part.number))

            return self._calls.with_retries(attempt).id

        try:
            with ThreadPoolExecutor(parallel, thread_name_prefix="batchwire-part") as pool:
                part_ids = list(pool.map(send_part, source.parts))
            return self.complete(upload.id, part_ids, md5=source.md5).file
        except BaseException:
            with suppress(BatchwireError):  # the first error matters more; an abandoned upload expires
                self._calls.call(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload.id))
            raise

    def _send(
        self, upload_id: str, pieces: Iterable[Piece], size: int | None, progress: Progress | None
    ) -> v1.UploadPart:
        return self._calls.send(self._stub.AddUploadPart, _part(upload_id, pieces, size, progress))


def _part(
    upload_id: str, pieces: Iterable[Piece], size: int | None, progress: Progress | None
) -> Iterator[v1.AddUploadPartRequest]:
    yield _requests.part_of(upload_id)
    sent = 0
    for chunk in chunked(pieces):
        yield _requests.part_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)
