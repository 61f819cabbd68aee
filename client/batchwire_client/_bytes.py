"""Cuts bytes into chunks, parts and lines. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

KIBIBYTE = 1024
CHUNK_BYTES = 512 * KIBIBYTE

Piece = bytes | bytearray | memoryview

# Called after each message with the bytes so far, and the total if known.
Progress = Callable[[int, int | None], None]


class Chunker:
    """Joins small pieces and splits large ones, so that all chunks but the last have one size."""

    def __init__(self, size: int = CHUNK_BYTES) -> None:
        self._size = size
        self._held = bytearray()

    def feed(self, piece: Piece) -> Iterator[bytes]:
        """Yield the chunks that this piece completes. Raises TypeError for text."""
        rest = memoryview(piece)
        while len(self._held) + len(rest) >= self._size:
            missing = self._size - len(self._held)
            yield bytes(self._held) + bytes(rest[:missing])
            self._held.clear()
            rest = rest[missing:]
        self._held += rest

    def last(self) -> Iterator[bytes]:
        """Yield the rest after the last piece."""
        if self._held:
            yield bytes(self._held)
            self._held.clear()


def chunked(pieces: Iterable[Piece], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the same bytes in chunks of one size. The last may be shorter."""
    chunker = Chunker(size)
    for piece in pieces:
        yield from chunker.feed(piece)
    yield from chunker.last()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file: `length` bytes from `offset`."""

    number: int
    offset: int
    length: int


def parts_of(size: int, part_size: int) -> list[Part]:
    """Return the parts of a file of `size` bytes, in order."""
    if part_size < 1:
        msg = f"part_size must be at least 1, not {part_size}"
        raise ValueError(msg)
    offsets = range(0, size, part_size)
    return [Part(number, offset, min(part_size, size - offset)) for number, offset in enumerate(offsets)]


class Lines:
    """Cuts a stream of bytes into lines without line feeds. Blank lines are skipped."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that end in this data."""
        *whole, self._held = (self._held + data).split(b"\n")
        return [line for line in whole if line.strip()]

    def last(self) -> list[bytes]:
        """Return the last line if no line feed ended it."""
        held, self._held = self._held, b""
        return [held] if held.strip() else []


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream of bytes without line feeds. Blank lines are skipped."""
    lines = Lines()
    for piece in pieces:
        yield from lines.feed(piece)
    yield from lines.last()


def parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each line."""
    return map(json.loads, lines)
