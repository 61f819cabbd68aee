"""Where an upload's bytes come from: a path, a file object, bytes, or anything that gives bytes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from batchwire_client._bytes import CHUNK_BYTES, Part, Piece

Source = str | PathLike[str] | Piece | BinaryIO | Iterable[Piece]

DEFAULT_FILENAME = "requests.jsonl"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an upload.

    Attributes:
        filename: The name that the source has by itself.
        size: Number of bytes; None when it shows only at the end.
        pieces: The bytes, in pieces of any size.
        blocking: Whether taking a piece may wait for a disk or a pipe.
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
def opened(source: Source) -> Iterator[Content]:
    """Opens a source, and closes what it opened.

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


def part_content(path: Path, part: Part) -> Iterator[bytes]:
    """The bytes of one part of a file."""
    left = part.length
    with path.open("rb") as file:
        file.seek(part.offset)
        while left and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece


def _read(file: _Readable) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _name_of(file: object) -> str:
    name = getattr(file, "name", None)  # an open pipe's name is its number
    return Path(name).name if isinstance(name, str) else DEFAULT_FILENAME


def _bytes_left(file: object) -> int | None:
    if not isinstance(file, _Seekable) or not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, SEEK_END)
    file.seek(here)
    return end - here
