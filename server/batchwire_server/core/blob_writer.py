"""Writes a blob while hashing it and counting its lines, with about one block in memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
from types import TracebackType
from typing import Self

from batchwire_server.core.errors import file_too_large
from batchwire_server.core.lines import BLANKS, BOM, looks_like_request
from batchwire_server.core.ports import BLOCK_BYTES, BlobStore, BlobWriter

_NON_BLANK = re.compile(rb"\n[ \t\r]*+[^\n \t\r]")  # a line feed after which a line that is not blank begins


class HashingBlobWriter:
    """A blob that is being written, hashed and counted. Without `commit`, nothing is stored.

    While one block is written and hashed, the next one is collected.

    Args:
        blobs: the blob store.
        key: the blob's key.
        max_bytes: the most bytes.
        max_line_bytes: the most bytes of the first line that are kept. None: lines do not matter.
        with_md5: compute the MD5 too.
    """

    def __init__(
        self, blobs: BlobStore, key: str, *, max_bytes: int, max_line_bytes: int | None = None, with_md5: bool = False
    ) -> None:
        self._opening = blobs.writer(key)
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._storing: asyncio.Task[None] | None = None
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
        self._lines = LineCounter(max_line_bytes) if max_line_bytes is not None else None
        self.size = 0

    async def __aenter__(self) -> Self:
        self._writer: BlobWriter = await self._opening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._storing:
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._opening.__aexit__(kind, error, trace)

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises BatchwireError if there are more than `max_bytes`."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise file_too_large(self._max_bytes)
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= BLOCK_BYTES:
            await self._store()

    async def finish(self) -> None:
        """End the blob: no bytes follow. From now on the properties cover all bytes."""
        await self._store()
        await self._settle()
        if self._lines:
            self._lines.finish()

    async def commit(self) -> None:
        """Make the blob durable and visible."""
        await self.finish()
        await self._writer.commit()

    @property
    def sha256(self) -> str:
        """The SHA-256, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """The MD5, in hexadecimal; empty without `with_md5`."""
        return self._md5.hexdigest() if self._md5 else ""

    @property
    def line_count(self) -> int:
        """The number of lines that are not blank."""
        assert self._lines
        return self._lines.count

    def looks_like_requests(self) -> bool:
        """Return whether the first line that is not blank may be a request of a batch."""
        assert self._lines
        return self._lines.first is not None and looks_like_request(self._lines.first)

    async def _store(self) -> None:
        if not self._waiting:
            return
        await self._settle()
        block = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        self._storing = asyncio.create_task(self._store_block(block))

    async def _store_block(self, block: bytes) -> None:
        await asyncio.gather(self._writer.write(block), asyncio.to_thread(self._digest, block))

    async def _settle(self) -> None:
        if self._storing:
            await self._storing
            self._storing = None

    def _digest(self, block: bytes) -> None:
        self._sha256.update(block)
        if self._md5:
            self._md5.update(block)
        if self._lines:
            self._lines.feed(block)


class LineCounter:
    """Counts the lines that are not blank, and keeps the first of them.

    Attributes:
        count: the number of lines so far.
        first: the first line. None if there is none yet. If it has more than `max_first` bytes, an
            empty JSON object stands for it, and validation finds the line too long.
    """

    def __init__(self, max_first: int) -> None:
        self._max_first = max_first
        self._non_blank = False  # whether the current line has more than white space so far
        self._head = bytearray()
        self._start: bytes | None = b""  # the first bytes, until it is clear whether they are a byte order mark
        self.count = 0
        self.first: bytes | None = None

    def feed(self, block: bytes) -> None:
        """Read the next bytes."""
        if self._start is not None:
            self._start += block
            if len(self._start) < len(BOM):
                return
            block, self._start = self._start.removeprefix(BOM), None
        if self.first is None:
            self._look_for_first(block)
        first, last = block.find(b"\n"), block.rfind(b"\n")
        if first < 0:
            self._non_blank = self._non_blank or bool(block.strip(BLANKS))
            return
        self.count += bool(self._non_blank or block[:first].strip(BLANKS))
        self.count += len(_NON_BLANK.findall(block, first, last))
        self._non_blank = bool(block[last + 1 :].strip(BLANKS))

    def finish(self) -> None:
        """End the input: no bytes follow. A second call has no effect."""
        if self._start is not None:
            block, self._start = self._start, None
            self.feed(block)
        if self.first is None:
            self._collect(b"", ends=True)
        self.count += self._non_blank
        self._non_blank = False

    def _look_for_first(self, block: bytes) -> None:
        start = 0
        while self.first is None and (end := block.find(b"\n", start)) >= 0:
            self._collect(block[start:end], ends=True)
            start = end + 1
        if self.first is None:
            self._collect(block[start:], ends=False)

    def _collect(self, part: bytes, *, ends: bool) -> None:
        """Add a part to the line that may be the first one that is not blank."""
        self._head += part
        if len(self._head) > self._max_first:
            self.first = b"{}"
        elif ends:
            if self._head.strip(BLANKS):
                self.first = bytes(self._head)
            self._head.clear()
