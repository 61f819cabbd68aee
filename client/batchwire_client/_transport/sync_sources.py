"""Sources of uploads: a path, a file object, bytes, or an iterable of bytes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import SEEK_END
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from batchwire_client._bytes import CHUNK_BYTES, Part, Piece, Progress, parts_of

Source = str | PathLike[str] | Piece | BinaryIO | Iterable[Piece]

DEFAULT_FILENAME = "requests.jsonl"
PART_BYTES = 8 * 1024 * 1024
PARALLEL = 4
MEDIA_TYPE = "application/jsonl"

_checksum = partial(hashlib.md5, usedforsecurity=False)  # the checksum that CompleteUpload takes


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an upload.

    Attributes:
        filename: Name of the source.
        size: Number of bytes; None if unknown before the end.
        pieces: The bytes, in pieces of any size.
        blocking: Whether reading a piece may wait for a disk or a pipe.
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
    """Open a source, and close it if it was opened here.

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
    """Yield the bytes of one part of a file."""
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
    name = getattr(file, "name", None)  # the name of an open pipe is its number
    return Path(name).name if isinstance(name, str) else DEFAULT_FILENAME


def _bytes_left(file: object) -> int | None:
    if not isinstance(file, _Seekable) or not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, SEEK_END)
    file.seek(here)
    return end - here


class PartedFile:
    """A file on disk, cut into parts.

    Raises:
        OSError: The path cannot be read.
        ValueError: `part_size` or `parallel` is below 1.
    """

    def __init__(self, path: Path, part_size: int, parallel: int) -> None:
        if parallel < 1:
            msg = f"parallel must be at least 1, not {parallel}"
            raise ValueError(msg)
        with path.open("rb") as file:
            self.md5 = hashlib.file_digest(file, _checksum).hexdigest()
            self.size = file.tell()
        self.path = path
        self.parts: list[Part] = parts_of(self.size, part_size)


class UploadProgress:
    """Adds up the progress of parts that are sent in parallel, from any thread.

    A part that is sent again counts from its start.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._sent: dict[int, int] = {}
        self._lock = threading.Lock()

    def of(self, number: int) -> Progress:
        """Return the progress callback of one part."""

        def update(sent: int, _size: int | None) -> None:
            with self._lock:
                self._sent[number] = sent
                if self._progress is not None:
                    self._progress(sum(self._sent.values()), self._total)

        return update
