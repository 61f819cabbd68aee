"""What sending a file in parts needs to know of it."""

import hashlib
from functools import partial
from pathlib import Path

from batchwire_client._bytes import Part, parts_of

PART_BYTES = 8 * 1024 * 1024
PARALLEL = 4
MEDIA_TYPE = "application/jsonl"

_checksum = partial(hashlib.md5, usedforsecurity=False)  # the checksum that CompleteUpload knows


class PartedFile:
    """A file on the disk, as parts.

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
