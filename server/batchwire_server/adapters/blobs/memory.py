"""Blobs in memory: for unit tests, behind the same behaviour suite as the others."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

from batchwire_server.core.errors import BlobNotFoundError

BLOCK = 64 * 1024


class MemoryBlobWriter:
    """A blob on its way."""

    def __init__(self, blobs: MemoryBlobs, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._parts: list[bytes] = []

    async def write(self, data: bytes) -> None:
        """Appends bytes."""
        self._parts.append(bytes(data))

    async def commit(self) -> None:
        """Makes the blob visible."""
        await self._blobs.put(self._key, b"".join(self._parts))


class MemoryBlobs:
    """The BlobStore over a dict. `blobs`, and when they were stored, are there for tests to look into."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.stored_at: dict[str, float] = {}

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[MemoryBlobWriter]:
        """Opens a new blob for writing."""
        yield MemoryBlobWriter(self, key)

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small blob."""
        self.blobs[key] = bytes(data)
        self.stored_at[key] = time.time()

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`. Raises BlobNotFoundError."""
        return self._get(key)[start:end]

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from `start` up to `end` in blocks. Raises BlobNotFoundError."""
        data = self._get(key)[start:end]
        for at in range(0, len(data), BLOCK):
            yield data[at : at + BLOCK]

    async def reach(self) -> None:
        """Nothing is in its way."""

    async def delete(self, keys: Collection[str]) -> None:
        """Removes blobs."""
        for key in keys:
            self.blobs.pop(key, None)
            self.stored_at.pop(key, None)

    async def delete_below(self, prefix: str) -> None:
        """Removes all blobs whose key starts with `prefix` and a slash."""
        await self.delete([key for key in self.blobs if key.startswith(f"{prefix}/")])

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """Yields the keys below a prefix of blobs stored before an instant."""
        yield [key for key, stored in self.stored_at.items() if key.startswith(f"{prefix}/") and stored < before]

    async def clear_temporary(self, before: float) -> None:
        """Does nothing: what is not committed is nowhere."""

    def _get(self, key: str) -> bytes:
        try:
            return self.blobs[key]
        except KeyError:
            raise BlobNotFoundError(key) from None
