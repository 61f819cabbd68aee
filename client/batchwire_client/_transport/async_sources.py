"""Where an upload's bytes come from, without blocking the event loop."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from batchwire_client._bytes import Chunker, Piece
from batchwire_client._sources import DEFAULT_FILENAME, Source, opened

AsyncSource = Source | AsyncIterable[Piece]


@dataclass(frozen=True, slots=True)
class AsyncContent:
    """The bytes of an upload: the source's own name, their number where it is known, and the bytes in pieces of any size."""

    filename: str
    size: int | None
    pieces: AsyncIterator[Piece]


@asynccontextmanager
async def opened_async(source: AsyncSource) -> AsyncIterator[AsyncContent]:
    """Opens a source, and closes what it opened. Raises OSError when a path cannot be read."""
    if isinstance(source, AsyncIterable):
        yield AsyncContent(DEFAULT_FILENAME, None, aiter(source))
        return
    with opened(source) as content:
        yield AsyncContent(content.filename, content.size, pieces_of(content.pieces, blocking=content.blocking))


async def pieces_of(pieces: Iterator[Piece], *, blocking: bool) -> AsyncIterator[Piece]:
    """The pieces; those that may wait for a disk or a pipe are taken in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None) if blocking else next(pieces, None)) is not None:
        yield piece


async def chunked_async(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """The same bytes in chunks of one size; the last may be shorter."""
    chunker = Chunker()
    async for piece in pieces:
        for chunk in chunker.feed(piece):
            yield chunk
    for chunk in chunker.last():
        yield chunk
