"""Cursors: the position in each kind of stream, from which it resumes. No I/O."""

from __future__ import annotations

import hashlib
from typing import Protocol, TypeVar

from batchwire import v1

from batchwire_client._statuses import TERMINAL
from batchwire_client.errors import CorruptDownload

Request_co = TypeVar("Request_co", covariant=True)
Message_contra = TypeVar("Message_contra", contravariant=True)
Item_co = TypeVar("Item_co", covariant=True)


class Cursor(Protocol[Request_co, Message_contra, Item_co]):
    """The position in a stream, which survives its connections."""

    def request(self) -> Request_co:
        """Return the request that resumes from here."""

    def take(self, message: Message_contra) -> Item_co | None:
        """Return what a message holds for the caller, or None."""

    def complete(self) -> bool:
        """Return whether nothing more can come, so that a broken connection does no harm."""

    def may_end(self) -> bool:
        """Return whether the stream may end here. If not, an intermediary closed it early."""


class WatchCursor:
    """A watched batch. Every snapshot is complete; the last is kept to recognise repeats."""

    def __init__(self, batch_id: str, *, repeats: bool) -> None:
        self._batch_id = batch_id
        self._repeats = repeats
        self._last: v1.Batch | None = None

    def request(self) -> v1.WatchBatchRequest:
        """Return the request to watch."""
        return v1.WatchBatchRequest(batch_id=self._batch_id)

    def take(self, message: v1.Batch) -> v1.Batch | None:
        """Return the snapshot, or None if it repeats the last."""
        with_retries = message == self._last
        self._last = message
        return message if self._repeats or not with_retries else None

    def complete(self) -> bool:
        """Return True after the snapshot with a terminal status."""
        return self._last is not None and self._last.status in TERMINAL

    def may_end(self) -> bool:
        """Return True only if complete."""
        return self.complete()


class ResultsCursor:
    """The results of a running batch, resumed by the server's offset."""

    def __init__(self, batch_id: str, offset: int) -> None:
        self._batch_id = batch_id
        self._offset = offset

    def request(self) -> v1.StreamResultsRequest:
        """Return the request for the lines after those received."""
        return v1.StreamResultsRequest(batch_id=self._batch_id, offset=self._offset)

    def take(self, message: v1.StreamResultsResponse) -> v1.StreamResultsResponse | None:
        """Return the message, or None if it has no data."""
        self._offset = message.next_offset
        return message if message.data else None

    def complete(self) -> bool:
        """Return False: only the end of the stream shows that all lines were sent."""
        return False

    def may_end(self) -> bool:
        """Return True."""
        return True


class DownloadCursor:
    """A download, resumed by the number of bytes received and checked by SHA-256."""

    def __init__(self, file_id: str, offset: int = 0, limit: int | None = None) -> None:
        self._file_id = file_id
        self._offset = offset
        self._limit = limit
        self._whole = offset == 0 and limit is None
        self._digest = hashlib.sha256()
        self.file: v1.File | None = None
        self.received = 0

    @property
    def expected(self) -> int | None:
        """The total of the download in bytes; None before the first message."""
        if self.file is None:
            return None
        rest = max(self.file.bytes - self._offset, 0)
        return rest if self._limit is None else min(rest, self._limit)

    def request(self) -> v1.DownloadFileRequest:
        """Return the request for the bytes after those received."""
        limit = None if self._limit is None else self._limit - self.received
        return v1.DownloadFileRequest(file_id=self._file_id, offset=self._offset + self.received, limit=limit)

    def take(self, message: v1.DownloadFileResponse) -> bytes | None:
        """Return the bytes of the message.

        Raises CorruptDownload if the whole file has arrived with another SHA-256.
        """
        if message.HasField("file"):
            self.file = message.file
            return None
        self.received += len(message.data)
        if self._whole:
            self._digest.update(message.data)
            self._check()
        return message.data or None

    def complete(self) -> bool:
        """Return True if all bytes have arrived."""
        return self.expected is not None and self.received >= self.expected

    def may_end(self) -> bool:
        """Return True only if complete."""
        return self.complete()

    def described(self) -> v1.File:
        """Return the description of the file, which every download begins with."""
        assert self.file is not None, "the download has not begun"
        return self.file

    def _check(self) -> None:
        if self.file is None or not self.complete() or not self.file.sha256:
            return
        if self._digest.hexdigest() != self.file.sha256:
            msg = f"download of {self._file_id} is corrupt: its SHA-256 is not {self.file.sha256}; download it again"
            raise CorruptDownload(msg)
