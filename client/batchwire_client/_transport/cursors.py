"""Where each kind of stream stands, so that dialling again goes on where the last one broke. No I/O here."""

import hashlib
from typing import Protocol, TypeVar

from batchwire import v1

from batchwire_client._statuses import TERMINAL
from batchwire_client.errors import CorruptDownload

Request_co = TypeVar("Request_co", covariant=True)
Message_contra = TypeVar("Message_contra", contravariant=True)
Item_co = TypeVar("Item_co", covariant=True)


class Cursor(Protocol[Request_co, Message_contra, Item_co]):
    """The memory of a stream that survives its connections."""

    def request(self) -> Request_co:
        """What to send to go on from here."""

    def take(self, message: Message_contra) -> Item_co | None:
        """What a message holds for the caller; None when nothing."""

    def complete(self) -> bool:
        """Whether nothing more can come, so that even a break does no harm."""

    def may_end(self) -> bool:
        """Whether an orderly end of the stream here is the end; otherwise somebody in between hung up."""


class WatchCursor:
    """A watched batch. Dialling again is resuming, so only the last snapshot is kept, to tell repeats."""

    def __init__(self, batch_id: str, *, repeats: bool) -> None:
        self._batch_id = batch_id
        self._repeats = repeats
        self._last: v1.Batch | None = None

    def request(self) -> v1.WatchBatchRequest:
        """Asks to watch."""
        return v1.WatchBatchRequest(batch_id=self._batch_id)

    def take(self, message: v1.Batch) -> v1.Batch | None:
        """The snapshot, unless it repeats the last."""
        repeated = message == self._last
        self._last = message
        return message if self._repeats or not repeated else None

    def complete(self) -> bool:
        """After the snapshot of a terminal status."""
        return self._last is not None and self._last.status in TERMINAL

    def may_end(self) -> bool:
        """Only when complete."""
        return self.complete()


class ResultsCursor:
    """Results of a running batch, resumed by the server's own offset."""

    def __init__(self, batch_id: str, offset: int) -> None:
        self._batch_id = batch_id
        self._offset = offset

    def request(self) -> v1.StreamResultsRequest:
        """Asks for the lines after the last ones received."""
        return v1.StreamResultsRequest(batch_id=self._batch_id, offset=self._offset)

    def take(self, message: v1.StreamResultsResponse) -> v1.StreamResultsResponse | None:
        """The message, unless it holds no line."""
        self._offset = message.next_offset
        return message if message.data else None

    def complete(self) -> bool:
        """Never: only the end of the stream tells that all was sent."""
        return False

    def may_end(self) -> bool:
        """Always."""
        return True


class DownloadCursor:
    """A file on its way down, resumed by the number of bytes received and checked by its SHA-256."""

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
        """How many bytes the download has in all; None before the first message."""
        if self.file is None:
            return None
        rest = max(self.file.bytes - self._offset, 0)
        return rest if self._limit is None else min(rest, self._limit)

    def request(self) -> v1.DownloadFileRequest:
        """Asks for the bytes after those received."""
        limit = None if self._limit is None else self._limit - self.received
        return v1.DownloadFileRequest(file_id=self._file_id, offset=self._offset + self.received, limit=limit)

    def take(self, message: v1.DownloadFileResponse) -> bytes | None:
        """The bytes in the message. Raises CorruptDownload when the last of a whole file's bytes prove it wrong."""
        if message.HasField("file"):
            self.file = message.file
            return None
        self.received += len(message.data)
        if self._whole:
            self._digest.update(message.data)
            self._check()
        return message.data or None

    def complete(self) -> bool:
        """When all bytes are here."""
        return self.expected is not None and self.received >= self.expected

    def may_end(self) -> bool:
        """Only when complete."""
        return self.complete()

    def described(self) -> v1.File:
        """The file's description, which every download begins with."""
        assert self.file is not None, "the download has not begun"
        return self.file

    def _check(self) -> None:
        if self.file is None or not self.complete() or not self.file.sha256:
            return
        if self._digest.hexdigest() != self.file.sha256:
            msg = f"file {self._file_id} arrived with other bytes than it has: SHA-256 is not {self.file.sha256}"
            raise CorruptDownload(msg)
