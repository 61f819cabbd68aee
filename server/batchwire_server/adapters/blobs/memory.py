"""Blobs in memory, for unit tests. They pass the same suite as the other stores."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

from batchwire_server.core.errors import BlobNotFoundError

BLOCK_BYTES = 64 * 1024


class MemoryBlobWriter:
    """A blob that is being written."""

    def __init__(self, blobs: MemoryBlobs, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._parts: list[bytes] = []

    async def write(self, data: bytes) -> None:
        """See BlobWriter."""
        self._parts.append(bytes(data))

    async def commit(self) -> None:
        """See BlobWriter."""
        await self._blobs.put(self._key, b"".join(self._parts))


class MemoryBlobs:
    """The BlobStore over a dict. Tests may read `blobs` and `stored_at`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.stored_at: dict[str, float] = {}

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[MemoryBlobWriter]:
        """See BlobStore."""
        yield MemoryBlobWriter(self, key)

    async def put(self, key: str, data: bytes) -> None:
        """See BlobStore."""
        self.blobs[key] = bytes(data)
        self.stored_at[key] = time.time()

    async def read(self, key: str, start: int, end: int) -> bytes:
        """See BlobStore."""
        return self._get(key)[start:end]

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See BlobStore."""
        data = self._get(key)[start:end]
        for offset in range(0, len(data), BLOCK_BYTES):
            yield data[offset : offset + BLOCK_BYTES]

    async def reach(self) -> None:
        """Do nothing: memory is always reachable."""

    async def delete(self, keys: Collection[str]) -> None:
        """See BlobStore."""
        for key in keys:
            self.blobs.pop(key, None)
            self.stored_at.pop(key, None)

    async def delete_below(self, prefix: str) -> None:
        """See BlobStore."""
        await self.delete([key for key in self.blobs if key.startswith(f"{prefix}/")])

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """See BlobStore."""
        yield [key for key, stored in self.stored_at.items() if key.startswith(f"{prefix}/") and stored < before]

    async def clear_temporary(self, before: float) -> None:
        """Do nothing: writers leave nothing behind."""

    def _get(self, key: str) -> bytes:
        try:
            return self.blobs[key]
        except KeyError:
            raise BlobNotFoundError(key) from None
