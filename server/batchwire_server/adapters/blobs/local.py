"""Blobs in a directory: written to a temporary name, synced, renamed, and the directory synced."""

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

BLOCK = 512 * 1024
PAGE = 500


class LocalBlobWriter:
    """A blob on its way, under a name that no key can have."""

    def __init__(self, file: FileIO, temporary: Path, target: Path) -> None:
        self._file = file
        self._temporary = temporary
        self._target = target

    async def write(self, data: bytes) -> None:
        """Appends bytes."""
        with _usable():
            await _to_the_end(self._write, data)

    async def commit(self, last: bytes = b"") -> None:
        """Appends the last bytes; makes all durable, and the blob visible, at once."""
        try:
            with _usable():
                await _to_the_end(self._publish, last)
        except asyncio.CancelledError:
            self._target.unlink(missing_ok=True)  # nobody will hear of it
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
    """The BlobStore over a directory that `make` has made, which any number of processes on this machine may share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"

    @classmethod
    def make(cls, root: Path) -> Self:
        """Makes the directory, if it is not there, and returns the store over it."""
        blobs = cls(root)
        blobs._temporary.mkdir(parents=True, exist_ok=True)
        return blobs

    async def clear_temporary(self, before: float) -> None:
        """Removes what writers left that were killed, unless something was written to it since an instant."""

        def remove() -> None:
            for entry in _older(self._temporary, before):
                Path(entry).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[LocalBlobWriter]:
        """Opens a new blob for writing."""
        temporary = self._temporary / secrets.token_hex(16)
        with _usable():
            # Not in a thread: a caller that is cancelled meanwhile would leave the file behind.
            file = FileIO(temporary, "xb")
        try:
            yield LocalBlobWriter(file, temporary, self._path(key))
        finally:
            file.close()
            with suppress(FileNotFoundError):  # it has been published
                temporary.unlink()

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small blob, durably."""
        async with self.writer(key) as writer:
            await writer.commit(data)

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`, fewer where the blob ends. Raises BlobNotFoundError."""
        return await asyncio.to_thread(self._read, key, start, end)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from `start` up to `end` in blocks of half a MiB. Raises BlobNotFoundError."""
        try:
            file = FileIO(self._path(key))
        except FileNotFoundError:
            raise self._missing(key) from None
        with file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                block = await asyncio.to_thread(file.read, BLOCK if left is None else min(BLOCK, left))
                if not block:
                    return
                if left is not None:
                    left -= len(block)
                yield block

    async def reach(self) -> None:
        """Raises OutOfReachError when nothing could be stored just now."""
        with _usable():
            room = os.statvfs(self._temporary)
        if not room.f_bavail or not os.access(self._temporary, os.W_OK):
            raise OutOfReachError(
                Component.BLOBS, "the disk is full" if not room.f_bavail else "the folder cannot be written"
            )

    async def delete(self, keys: Collection[str]) -> None:
        """Removes blobs; those that do not exist are passed over."""

        def remove() -> None:
            for key in keys:
                self._path(key).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    async def delete_below(self, prefix: str) -> None:
        """Removes all blobs whose key starts with `prefix` and a slash."""
        await asyncio.to_thread(shutil.rmtree, self._path(prefix), ignore_errors=True)

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """Yields the keys below a prefix of blobs stored before an instant, some hundred at a time."""
        found = _older(self._path(prefix), before)
        while page := await asyncio.to_thread(lambda: list(islice(found, PAGE))):
            yield [str(Path(entry).relative_to(self._root)) for entry in page]

    def _missing(self, key: str) -> BlobNotFoundError | OutOfReachError:
        """Returns what to raise where there is no blob: in a folder that is not mounted just now there is nothing at all."""
        if self._temporary.is_dir():
            return BlobNotFoundError(key)
        return OutOfReachError(Component.BLOBS, f"{self._root} has not what it should have; is it mounted?")

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
    """Raises OutOfReachError for a disk that is full or broken."""
    try:
        yield
    except OSError as error:
        raise OutOfReachError(Component.BLOBS, error.strerror or error) from error


def _older(folder: str | Path, before: float) -> Iterator[str]:
    """Yields the files below a folder that were last written to before an instant; passes over what goes away meanwhile."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _older(entry.path, before)
                continue
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield entry.path


async def _to_the_end(call: Callable[..., None], *arguments: object) -> None:
    """Runs a call in a thread; when cancelled meanwhile, waits for it, so that nothing it uses is taken away from it."""
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
