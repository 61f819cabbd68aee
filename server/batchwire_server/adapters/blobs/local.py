"""Blobs in a directory.

Each is written to a temporary file, synced, renamed, and its directory synced.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Self

from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.ports import BLOCK_BYTES, KEYS_PER_PAGE


class LocalBlobWriter:
    """A blob that is being written to a temporary file."""

    def __init__(self, file: FileIO, temporary: Path, target: Path) -> None:
        self._file = file
        self._temporary = temporary
        self._target = target

    async def write(self, data: bytes) -> None:
        """See BlobWriter."""
        with _usable():
            await _to_the_end(self._write, data)

    async def commit(self, last: bytes = b"") -> None:
        """Append the last bytes, then see BlobWriter."""
        try:
            with _usable():
                await _to_the_end(self._publish, last)
        except asyncio.CancelledError:
            self._target.unlink(missing_ok=True)  # the caller will not know that it exists
            raise

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _publish(self, last: bytes) -> None:
        self._write(last)
        os.fsync(self._file.fileno())
        self._file.close()
        made = not self._target.parent.exists()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(self._target)
        _sync_directory(self._target.parent)
        if made:
            _sync_directory(self._target.parent.parent)


class LocalBlobs:
    """The BlobStore over a directory that `make` created. Processes on one machine may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"

    @classmethod
    def make(cls, root: Path) -> Self:
        """Create the directory unless it exists, and return the store over it."""
        blobs = cls(root)
        blobs._temporary.mkdir(parents=True, exist_ok=True)
        return blobs

    async def clear_temporary(self, before: float) -> None:
        """See BlobStore."""

        def remove() -> None:
            for entry in _older(self._temporary, before):
                Path(entry).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[LocalBlobWriter]:
        """See BlobStore."""
        temporary = self._temporary / secrets.token_hex(16)
        with _usable():
            # Not in a thread: if the caller were cancelled meanwhile, the file would stay.
            file = FileIO(temporary, "xb")
        try:
            yield LocalBlobWriter(file, temporary, self._path(key))
        finally:
            file.close()
            with suppress(FileNotFoundError):  # renamed by commit
                temporary.unlink()

    async def put(self, key: str, data: bytes) -> None:
        """See BlobStore."""
        async with self.writer(key) as writer:
            await writer.commit(data)

    async def read(self, key: str, start: int, end: int) -> bytes:
        """See BlobStore."""
        return await asyncio.to_thread(self._read, key, start, end)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See BlobStore."""
        try:
            file = FileIO(self._path(key))
        except FileNotFoundError:
            raise self._missing(key) from None
        with file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                block = await asyncio.to_thread(file.read, BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
                if not block:
                    return
                if left is not None:
                    left -= len(block)
                yield block

    async def reach(self) -> None:
        """Raise OutOfReachError if the disk is full or the directory not writable."""
        with _usable():
            room = os.statvfs(self._temporary)
        if not room.f_bavail or not os.access(self._temporary, os.W_OK):
            raise OutOfReachError(
                Component.BLOBS,
                f"the disk of {self._root} is full" if not room.f_bavail else f"{self._root} is not writable",
            )

    async def delete(self, keys: Collection[str]) -> None:
        """See BlobStore."""

        def remove() -> None:
            for key in keys:
                self._path(key).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    async def delete_below(self, prefix: str) -> None:
        """See BlobStore."""
        await asyncio.to_thread(shutil.rmtree, self._path(prefix), ignore_errors=True)

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """See BlobStore."""
        found = _older(self._path(prefix), before)
        while page := await asyncio.to_thread(lambda: list(islice(found, KEYS_PER_PAGE))):
            yield [str(Path(entry).relative_to(self._root)) for entry in page]

    def _missing(self, key: str) -> BlobNotFoundError | OutOfReachError:
        """Return the error for a missing blob.

        If the temporary directory is missing too, the volume is not mounted.
        """
        if self._temporary.is_dir():
            return BlobNotFoundError(key)
        return OutOfReachError(Component.BLOBS, f"{self._root} is empty; is its volume mounted?")

    def _path(self, key: str) -> Path:
        return self._root / key

    def _read(self, key: str, start: int, end: int) -> bytes:
        try:
            with self._path(key).open("rb", buffering=0) as file:
                file.seek(start)
                blocks = []
                while start < end and (block := file.read(end - start)):
                    blocks.append(block)
                    start += len(block)
        except FileNotFoundError:
            raise self._missing(key) from None
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)


@contextmanager
def _usable() -> Iterator[None]:
    """Raise OutOfReachError if the disk is full or fails."""
    try:
        yield
    except OSError as error:
        raise OutOfReachError(Component.BLOBS, error.strerror or error) from error


def _older(folder: str | Path, before: float) -> Iterator[str]:
    """Yield the files below a directory that were last modified before `before`.

    Ignores files that are deleted meanwhile.
    """
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _older(entry.path, before)
                continue
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield entry.path


async def _to_the_end(call: Callable[..., None], *arguments: object) -> None:
    """Run a call in a thread.

    If cancelled meanwhile, wait for the thread: it still uses the file.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
