"""The store's garbage: rows and blobs that nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Garbage:
    """Rows whose blobs nothing needs any more.

    Attributes:
        files: blob keys by file id.
        uploads: ids of uploads whose parts are no longer needed.
        batches: ids of batches whose segments are no longer needed.
    """

    files: dict[str, str]
    uploads: list[str]
    batches: list[str]


class GarbageStore(Protocol):
    """Rows past their time."""

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """Return garbage, at most `limit` of each kind.

        A file that was deleted or has expired, once no batch reads it; the parts of an upload that
        has ended or is gone; the segments of a batch that ended `result_lifetime` seconds ago or is
        gone.
        """

    async def forget(self, garbage: Garbage) -> None:
        """Delete the rows of garbage whose blobs have been deleted."""

    async def prune(self, limit: int, *, upload_lifetime: int, batch_lifetime: int) -> bool:
        """Delete rows that are kept for reading alone, at most `limit` of each kind.

        Uploads whose `expires_at` is `upload_lifetime` seconds ago, and batches that ended
        `batch_lifetime` seconds ago (0: never). Returns whether there may be more.
        """

    async def referenced(self, keys: Collection[str]) -> set[str]:
        """Return the blob keys that a row refers to, or that a batch which has not ended reads."""

    async def newest_needed(self, limit: int) -> list[str]:
        """Return the blob keys of the newest files that are not garbage, newest first."""
