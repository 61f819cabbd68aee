"""A file on disk as parts for `upload_in_parts`, and their progress. Shared by both clients."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from batchwire_client._bytes import Progress

PART_BYTES = 8 * 1024 * 1024
"""Default size of a part."""

PARALLEL = 4
"""Default number of parts that are sent at the same time."""

MEDIA_TYPE = "application/jsonl"

_md5 = partial(hashlib.md5, usedforsecurity=False)  # the checksum of CompleteUpload


@dataclass(frozen=True, slots=True)
class Part:
    """A byte range of a file: `length` bytes that start at `offset`."""

    number: int
    offset: int
    length: int


def parts_of(size: int, part_size: int) -> list[Part]:
    """Return the parts of a file of `size` bytes, in order. Raise ValueError if `part_size` < 1."""
    if part_size < 1:
        raise ValueError(f"part_size must be at least 1, not {part_size}")
    offsets = range(0, size, part_size)
    return [Part(number, offset, min(part_size, size - offset)) for number, offset in enumerate(offsets)]


class PartedFile:
    """A file on disk with its size, its MD5 and its parts.

    Raises:
        OSError: The file cannot be read.
        ValueError: `part_size` or `parallel` is less than 1.
    """

    def __init__(self, path: Path, part_size: int, parallel: int) -> None:
        if parallel < 1:
            raise ValueError(f"parallel must be at least 1, not {parallel}")
        with path.open("rb") as file:
            self.md5 = hashlib.file_digest(file, _md5).hexdigest()
            self.size = file.tell()
        self.path = path
        self.parts: list[Part] = parts_of(self.size, part_size)


class UploadProgress:
    """Adds up the progress of parts that are sent in parallel. Safe to use from any thread.

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
