"""Positions in streams, so that a broken stream resumes where it stopped. Does no I/O."""

from __future__ import annotations

import hashlib
from typing import Protocol, TypeVar

from batchwire import v1

from batchwire_client._statuses import TERMINAL
from batchwire_client.errors import CorruptDownload

RequestT_co = TypeVar("RequestT_co", covariant=True)
MessageT_contra = TypeVar("MessageT_contra", contravariant=True)
ItemT_co = TypeVar("ItemT_co", covariant=True)


class Cursor(Protocol[RequestT_co, MessageT_contra, ItemT_co]):
    """The position in a stream, which outlives its connections."""

    @property
    def label(self) -> str:
        """Name of the stream in error messages, with the id of its batch or file."""

    def request(self) -> RequestT_co:
        """Return the request that resumes the stream here."""

    def take(self, message: MessageT_contra) -> ItemT_co | None:
        """Advance past a message and return its item, or None if the caller needs none."""

    def complete(self) -> bool:
        """Return True if no item can follow, so that a broken connection does no harm."""

    def may_end(self) -> bool:
        """Return True if an OK status here ends the stream. Otherwise a proxy has closed it."""


class WatchCursor:
    """A watched batch. A new stream starts with the current snapshot, so no position is needed."""

    def __init__(self, batch_id: str, *, repeats: bool) -> None:
        self._batch_id = batch_id
        self._repeats = repeats
        self._last: v1.Batch | None = None

    @property
    def label(self) -> str:
        """Name of the stream in error messages."""
        return f"watch of batch {self._batch_id}"

    def request(self) -> v1.WatchBatchRequest:
        """Return the request to watch the batch."""
        return v1.WatchBatchRequest(batch_id=self._batch_id)

    def take(self, message: v1.Batch) -> v1.Batch | None:
        """Return the snapshot. A repeated one is returned only if `repeats` is set."""
        repeated = message == self._last
        self._last = message
        return message if self._repeats or not repeated else None

    def complete(self) -> bool:
        """Return True after the snapshot with a terminal status."""
        return self._last is not None and self._last.status in TERMINAL

    def may_end(self) -> bool:
        """Return True if the cursor is complete."""
        return self.complete()


class ResultsCursor:
    """The finished lines of a batch, resumed at the server's `next_offset`."""

    def __init__(self, batch_id: str, offset: int) -> None:
        self._batch_id = batch_id
        self._offset = offset

    @property
    def label(self) -> str:
        """Name of the stream in error messages."""
        return f"results of batch {self._batch_id}"

    def request(self) -> v1.StreamResultsRequest:
        """Return the request for the lines that follow."""
        return v1.StreamResultsRequest(batch_id=self._batch_id, offset=self._offset)

    def take(self, message: v1.StreamResultsResponse) -> v1.StreamResultsResponse | None:
        """Return the message, or None if it holds no line."""
        self._offset = message.next_offset
        return message if message.data else None

    def complete(self) -> bool:
        """Return False: only the end of the stream shows that all lines were sent."""
        return False

    def may_end(self) -> bool:
        """Return True: the server decides when all lines were sent."""
        return True


class DownloadCursor:
    """The bytes of a file, resumed after those received. Checks the SHA-256 of a whole file."""

    def __init__(self, file_id: str, offset: int = 0, limit: int | None = None) -> None:
        self._file_id = file_id
        self._offset = offset
        self._limit = limit
        self._whole = offset == 0 and limit is None
        self._digest = hashlib.sha256()
        self.file: v1.File | None = None
        self.received = 0

    @property
    def label(self) -> str:
        """Name of the stream in error messages."""
        return f"download of file {self._file_id}"

    @property
    def expected(self) -> int | None:
        """Number of bytes of the whole download. None before the first message."""
        if self.file is None:
            return None
        rest = max(self.file.bytes - self._offset, 0)
        return rest if self._limit is None else min(rest, self._limit)

    def request(self) -> v1.DownloadFileRequest:
        """Return the request for the bytes that follow."""
        limit = None if self._limit is None else self._limit - self.received
        return v1.DownloadFileRequest(file_id=self._file_id, offset=self._offset + self.received, limit=limit)

    def take(self, message: v1.DownloadFileResponse) -> bytes | None:
        """Return the bytes of the message, or None if it has none.

        Raises:
            CorruptDownload: This is the end of a whole file, and its SHA-256 is wrong.
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
        """Return True if all bytes were received."""
        return self.expected is not None and self.received >= self.expected

    def may_end(self) -> bool:
        """Return True if the cursor is complete."""
        return self.complete()

    def description(self) -> v1.File:
        """Return the description of the file, which is the first message of every download."""
        assert self.file is not None, "the download has not begun"
        return self.file

    def _check(self) -> None:
        if self.file is None or not self.complete() or not self.file.sha256:
            return
        if (actual := self._digest.hexdigest()) != self.file.sha256:
            raise CorruptDownload(
                f"file {self._file_id} is corrupt: the SHA-256 of the downloaded bytes is {actual}, "
                f"not {self.file.sha256}; download it again"
            )
