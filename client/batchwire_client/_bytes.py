"""Splits byte streams into messages and lines. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

CHUNK_BYTES = 512 * 1024
"""Size of the data in one message of an upload."""

Piece = bytes | bytearray | memoryview
"""Bytes of any length, as a source yields them."""

Progress = Callable[[int, int | None], None]
"""Called after each message with the bytes so far and the total, which is None if unknown."""


class Chunker:
    """Joins small pieces and splits large ones, so that all chunks but the last have one size."""

    def __init__(self, size: int = CHUNK_BYTES) -> None:
        self._size = size
        self._buffer = bytearray()

    def feed(self, piece: Piece) -> Iterator[bytes]:
        """Yield the chunks that this piece completes. Raise TypeError if it is text."""
        rest = memoryview(piece)
        while len(self._buffer) + len(rest) >= self._size:
            missing = self._size - len(self._buffer)
            yield bytes(self._buffer) + bytes(rest[:missing])
            self._buffer.clear()
            rest = rest[missing:]
        self._buffer += rest

    def flush(self) -> Iterator[bytes]:
        """Yield the bytes that remain after the last piece, if any."""
        if self._buffer:
            yield bytes(self._buffer)
            self._buffer.clear()


class LineSplitter:
    """Splits a byte stream into lines, without their line feeds. Skips blank lines."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that end within `data`."""
        *complete, self._buffer = (self._buffer + data).split(b"\n")
        return [line for line in complete if line.strip()]

    def flush(self) -> list[bytes]:
        """Return the last line if no line feed ended it."""
        rest, self._buffer = self._buffer, b""
        return [rest] if rest.strip() else []


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a byte stream, without their line feeds. Skip blank lines."""
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.flush()
