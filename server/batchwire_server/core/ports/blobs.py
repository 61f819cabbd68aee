"""The blob store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

BLOCK_BYTES = 512 * 1024
"""About the size of the blocks in which blobs are written and streamed."""

KEYS_PER_PAGE = 500
"""The most keys that `BlobStore.list_below` yields at a time."""


class BlobWriter(Protocol):
    """A blob that is being written. Leaving its context without `commit` leaves nothing behind."""

    async def write(self, data: bytes) -> None:
        """Append bytes."""

    async def commit(self) -> None:
        """Make all bytes durable, and the blob visible under its key, in one step."""


class BlobStore(Protocol):
    """Immutable blobs. Keys are the server's own: words of `[A-Za-z0-9_-]`, joined by slashes."""

    def writer(self, key: str) -> AbstractAsyncContextManager[BlobWriter]:
        """Open a new blob for writing."""

    async def put(self, key: str, data: bytes) -> None:
        """Store a small blob durably."""

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`, or fewer if the blob ends earlier.

        Raises BlobNotFoundError.
        """

    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to `end` in blocks of about `BLOCK_BYTES`.

        Raises BlobNotFoundError.
        """

    async def reach(self) -> None:
        """Raise OutOfReachError if nothing can be stored now."""

    async def delete(self, keys: Collection[str]) -> None:
        """Delete blobs. Keys without a blob are ignored."""

    async def delete_below(self, prefix: str) -> None:
        """Delete all blobs whose key starts with `prefix` and a slash."""

    def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """Yield the keys that start with `prefix` and a slash, up to `KEYS_PER_PAGE` at a time.

        Only blobs stored before the instant `before` (seconds since the epoch) are listed. They may
        be deleted meanwhile.
        """

    async def clear_temporary(self, before: float) -> None:
        """Delete the unfinished blobs of killed writers.

        Blobs that were written to since the instant `before` (seconds since the epoch) stay.
        """
