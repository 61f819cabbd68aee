"""Sources of an upload's bytes, read without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from batchwire_client._bytes import CHUNK_BYTES, Chunker, Piece
from batchwire_client._parts import Part, PartedFile
from batchwire_client._transport import sync_sources

Source = sync_sources.Source | AsyncIterable[Piece]


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an upload.

    Attributes:
        filename: name of the source, or a default name.
        size: number of bytes. None if it is unknown until the end.
        pieces: the bytes, in pieces of any size.
    """

    filename: str
    size: int | None
    pieces: AsyncIterator[Piece]


@asynccontextmanager
async def open_source(source: Source) -> AsyncIterator[Content]:
    """Open a source. A path is closed at the end of the block; other sources stay open.

    Raises:
        OSError: The path cannot be read.
    """
    if isinstance(source, AsyncIterable):
        yield Content(sync_sources.DEFAULT_FILENAME, None, aiter(source))
        return
    with sync_sources.open_source(source) as content:
        yield Content(content.filename, content.size, _async_pieces(content.pieces, blocking=content.blocking))


async def open_parts(path: Path, part_size: int, parallel: int) -> PartedFile:
    """Return the file at `path` in parts. Raise as PartedFile does."""
    return await asyncio.to_thread(PartedFile, path, part_size, parallel)


def read_part(path: Path, part: Part) -> AsyncIterator[Piece]:
    """Yield the bytes of one part of the file at `path`."""
    return _async_pieces(sync_sources.read_part(path, part), blocking=True)


async def in_chunks(pieces: AsyncIterator[Piece], size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
    """Yield the same bytes in chunks of `size` bytes; the last one may be shorter."""
    chunker = Chunker(size)
    async for piece in pieces:
        for chunk in chunker.feed(piece):
            yield chunk
    for chunk in chunker.flush():
        yield chunk


async def _async_pieces(pieces: Iterator[Piece], *, blocking: bool) -> AsyncIterator[Piece]:
    """Yield the pieces. If reading one may block, it is read in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None) if blocking else next(pieces, None)) is not None:
        yield piece
