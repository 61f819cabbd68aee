"""Results: streams the finished lines of a batch, also while it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from batchwire_server.core.errors import (
    BlobNotFoundError,
    batch_not_found,
    range_not_satisfiable,
    results_not_streamable,
)
from batchwire_server.core.lifecycle import TERMINAL
from batchwire_server.core.ports import BatchStore, BlobStore, ChangeFeed

SEGMENTS_PER_QUERY = 64
POLL_S = 1.0
"""Seconds after which the batch is read again even without a change notification."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the finished lines, and the offset of the byte after them."""

    data: bytes
    next_offset: int


class Results:
    """Streams finished lines in the order in which they were recorded."""

    def __init__(self, store: BatchStore, blobs: BlobStore, changes: ChangeFeed) -> None:
        self._store = store
        self._blobs = blobs
        self._changes = changes

    async def stream(self, tenant: str, batch_id: str, offset: int = 0) -> AsyncGenerator[Piece, None]:
        """Yield finished lines until the batch has ended.

        Args:
            tenant: the tenant of the batch.
            batch_id: its id.
            offset: bytes of finished lines to skip: the `next_offset` of an earlier stream.

        Raises:
            BatchwireError: the tenant has no such batch, the offset is past its end, or the lines
                have been deleted.
        """
        seen = 0
        while True:
            batch = await self._store.get_batch(tenant, batch_id)
            if batch is None:
                raise batch_not_found(batch_id)
            if not 0 <= offset <= batch.result_bytes:
                raise range_not_satisfiable(batch.result_bytes)
            while offset < batch.result_bytes:
                try:
                    started = offset
                    async with aclosing(self._recorded(batch_id, offset)) as pieces:
                        async for piece in pieces:
                            offset = piece.next_offset
                            yield piece
                except BlobNotFoundError:
                    raise results_not_streamable(batch.status) from None
                if offset == started:
                    raise results_not_streamable(batch.status)
            if batch.status in TERMINAL:
                return
            seen = await self._changes.wait(seen, POLL_S)

    async def _recorded(self, batch_id: str, offset: int) -> AsyncGenerator[Piece, None]:
        for segment in await self._store.segments_from(batch_id, offset, SEGMENTS_PER_QUERY):
            if segment.start > offset:
                return
            start = segment.header_bytes + offset - segment.start
            async with aclosing(self._blobs.stream(segment.blob_key, start)) as blocks:
                async for block in blocks:
                    offset += len(block)
                    yield Piece(block, offset)
