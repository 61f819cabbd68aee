"""Sources of uploads, read without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from batchwire_client._bytes import Chunker, Piece
from batchwire_client._transport.sync_sources import DEFAULT_FILENAME, Source, opened

AsyncSource = Source | AsyncIterable[Piece]


@dataclass(frozen=True, slots=True)
class AsyncContent:
    """The content of an upload: name of the source, size if known, and pieces of any size."""

    filename: str
    size: int | None
    pieces: AsyncIterator[Piece]


@asynccontextmanager
async def opened_async(source: AsyncSource) -> AsyncIterator[AsyncContent]:
    """Open a source, and close it if it was opened here. Raises OSError for an unreadable path."""
    if isinstance(source, AsyncIterable):
        yield AsyncContent(DEFAULT_FILENAME, None, aiter(source))
        return
    with opened(source) as content:
        yield AsyncContent(content.filename, content.size, pieces_of(content.pieces, blocking=content.blocking))


async def pieces_of(pieces: Iterator[Piece], *, blocking: bool) -> AsyncIterator[Piece]:
    """Yield the pieces. If `blocking`, they are read in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None) if blocking else next(pieces, None)) is not None:
        yield piece


async def chunked_async(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """Yield the same bytes in chunks of one size. The last may be shorter."""
    chunker = Chunker()
    async for piece in pieces:
        for chunk in chunker.feed(piece):
            yield chunk
    for chunk in chunker.last():
        yield chunk
