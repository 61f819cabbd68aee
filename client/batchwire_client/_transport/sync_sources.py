"""Sources of an upload's bytes: a path, a file object, bytes, or an iterable of bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from batchwire_client._bytes import CHUNK_BYTES, Chunker, Piece
from batchwire_client._parts import Part, PartedFile

Source = str | PathLike[str] | Piece | BinaryIO | Iterable[Piece]

DEFAULT_FILENAME = "requests.jsonl"
"""Name of a file whose source has none."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an upload.

    Attributes:
        filename: name of the source, or DEFAULT_FILENAME.
        size: number of bytes. None if it is unknown until the end.
        pieces: the bytes, in pieces of any size.
        blocking: whether reading a piece may wait for a disk or a pipe.
    """

    filename: str
    size: int | None
    pieces: Iterator[Piece]
    blocking: bool


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@runtime_checkable
class _Seekable(Protocol):
    def seekable(self) -> bool: ...
    def tell(self) -> int: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...


@contextmanager
def open_source(source: Source) -> Iterator[Content]:
    """Open a source. A path is closed at the end of the block; other sources stay open.

    Raises:
        OSError: The path cannot be read.
    """
    match source:
        case bytes() | bytearray() | memoryview():
            view = memoryview(source).cast("B")
            yield Content(DEFAULT_FILENAME, view.nbytes, iter((view,)), blocking=False)
        case str() | PathLike():
            path = Path(source)
            with path.open("rb") as file:
                yield Content(path.name, os.fstat(file.fileno()).st_size, _read(file), blocking=True)
        case _Readable():
            yield Content(_name_of(source), _bytes_left(source), _read(source), blocking=True)
        case _:
            yield Content(DEFAULT_FILENAME, None, iter(source), blocking=False)


def open_parts(path: Path, part_size: int, parallel: int) -> PartedFile:
    """Return the file at `path` in parts. Raise as PartedFile does."""
    return PartedFile(path, part_size, parallel)


def read_part(path: Path, part: Part) -> Iterator[bytes]:
    """Yield the bytes of one part of the file at `path`."""
    left = part.length
    with path.open("rb") as file:
        file.seek(part.offset)
        while left and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece


def in_chunks(pieces: Iterable[Piece], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the same bytes in chunks of `size` bytes; the last one may be shorter."""
    chunker = Chunker(size)
    for piece in pieces:
        yield from chunker.feed(piece)
    yield from chunker.flush()


def _read(file: _Readable) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _name_of(file: object) -> str:
    name = getattr(file, "name", None)  # the name of a pipe is its descriptor, an int
    return Path(name).name if isinstance(name, str) else DEFAULT_FILENAME


def _bytes_left(file: object) -> int | None:
    if not isinstance(file, _Seekable) or not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, SEEK_END)
    file.seek(here)
    return end - here
