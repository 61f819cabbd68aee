"""The uploads in parts of a blocking client."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from pathlib import Path

import grpc
from batchwire import v1

from batchwire_client import _requests as _messages
from batchwire_client._bytes import Part, Piece, Progress, chunked
from batchwire_client._sources import (
    MEDIA_TYPE,
    PARALLEL,
    PART_BYTES,
    PartedFile,
    Source,
    UploadProgress,
    opened,
    part_content,
)
from batchwire_client._transport.sync_calls import Calls
from batchwire_client.errors import BatchwireError


class Uploads:
    """Takes large files in parts that can be sent in parallel and sent again one by one."""

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
        return self._calls.once(self._stub.CreateUpload, request)

    def add_part(self, upload_id: str, source: Source, *, progress: Progress | None = None) -> v1.UploadPart:
        """Stores one part, of at most 64 MiB. Not repeated; a part stored twice does no harm when completing names one.

        Args:
            upload_id: Id of the upload.
            source: A path, a binary file object, bytes, or an iterable of bytes (read in another thread).
            progress: Called with the bytes sent so far and the bytes in all (None when unknown), in another thread.

        Raises:
            NotFound: There is no such upload.
            Conflict: The upload takes no more parts.
            InvalidRequest: The part is empty or too large.
        """
        with opened(source) as content:
            return self._send(upload_id, content.pieces, content.size, progress)

    def complete(self, upload_id: str, part_ids: Sequence[str], *, md5: str | None = None) -> v1.Upload:
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
        return self._calls.safely(self._stub.CompleteUpload, request)

    def cancel(self, upload_id: str) -> v1.Upload:
        """Gives an upload up. Raises NotFound, or Conflict when it was completed or has expired."""
        return self._calls.safely(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload_id))

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
        """Uploads a file in parts, several at a time; a part whose connection broke is sent again.

        Args:
            path: The file.
            part_size: Bytes of each part, at most 64 MiB; by default 8 MiB.
            parallel: How many parts to send at a time.
            filename: Name of the file; by default the path's own.
            purpose: What the file is for.
            expires_after: Seconds from its creation after which the file is deleted, from 3600 to 2592000.
            progress: Called with the bytes sent so far and the bytes in all, in other threads, one at a time.

        Returns:
            The stored file.

        Raises:
            InvalidRequest: The server does not take this content or one of the arguments.
            ServerUnavailable: The server could not be reached for too long; nothing was stored.
            OSError: The path cannot be read.
        """
        source = PartedFile(Path(path), part_size, parallel)
        upload = self.create(
            filename=filename or source.path.name, size=source.size, purpose=purpose, expires_after=expires_after
        )
        tally = UploadProgress(source.size, progress)

        def send_part(part: Part) -> str:
            def attempt() -> v1.UploadPart:
                pieces = part_content(source.path, part)
                return self._send(upload.id, pieces, part.length, tally.of(part.number))

            return self._calls.repeated(attempt).id

        try:
            with ThreadPoolExecutor(parallel, thread_name_prefix="batchwire-part") as pool:
                part_ids = list(pool.map(send_part, source.parts))
            return self.complete(upload.id, part_ids, md5=source.md5).file
        except BaseException:
            with suppress(BatchwireError):  # what made it fail matters more; an upload left over expires
                self._calls.once(self._stub.CancelUpload, v1.CancelUploadRequest(upload_id=upload.id))
            raise

    def _send(
        self, upload_id: str, pieces: Iterable[Piece], size: int | None, progress: Progress | None
    ) -> v1.UploadPart:
        return self._calls.send(self._stub.AddUploadPart, _part(upload_id, pieces, size, progress))


def _part(
    upload_id: str, pieces: Iterable[Piece], size: int | None, progress: Progress | None
) -> Iterator[v1.AddUploadPartRequest]:
    yield _messages.part_of(upload_id)
    sent = 0
    for chunk in chunked(pieces):
        yield _messages.part_data(chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)
