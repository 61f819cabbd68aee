"""Blobs in an object store: S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials and endpoint are the store's own business: obstore reads the environment variables that all clients of such stores read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from obstore.exceptions import BaseError
from obstore.store import from_url

from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError
from batchwire_server.core.health import Component

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

BLOCK = 512 * 1024
PART = 8 * 1024 * 1024
"""Bytes of a part: stores take 10,000 of them, so that a blob can have 80 GB."""

PARTS_AT_ONCE = 2
PAGE = 500
NO_BUCKET = "NoSuchBucket|ContainerNotFound|bucket does not exist"
CHECK_S = 30.0
CLOSE_S = 5.0

# A call that a store does not serve fails within half a minute: 8 s of trying again, and 20 s for the last try to say nothing at all.
CLIENT: ClientConfig = {
    "allow_http": True,  # for an endpoint that is named so; others are never spoken to that way
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(days=1),  # of a whole stream, which takes as long as its reader does
}
RETRY: RetryConfig = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


def open_store(url: str) -> ObjectStore:
    """Returns the store that a URL names. Its query has options by obstore's names, such as `?endpoint=http://…`. Raises OutOfReachError."""
    parts = urlsplit(url)
    place = parts._replace(query="").geturl()
    config: Any = dict(parse_qsl(parts.query))  # which of the stores' three it is depends on the URL
    try:
        return from_url(place, config=config, client_options=CLIENT, retry_config=RETRY)
    except (BaseError, ValueError) as error:
        raise OutOfReachError(Component.BLOBS, f"{place}: {_in_short(error)}") from error


class _Blocks:
    """The blocks of a blob on their way to obstore.

    They end only when the blob is whole. Else they end with an error, however often they are asked: that is what has obstore abort the upload, which cancelling it
    would not. A generator would not do: one that was closed, as when the loop ends, just ends, and part of a blob would be published.
    """

    def __init__(self) -> None:
        self._next: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self.put = self._next.put
        self.whole = False
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._ended:
            self._ended = True  # unless the next one comes
            block = await self._next.get()
            if block is not None:
                self._ended = False
                return block
            if self.whole:
                raise StopAsyncIteration
        raise _AbandonedError


class _AbandonedError(Exception):
    """The blob was given up."""


class ObjectBlobWriter:
    """A blob on its way: one request for a small one, else parts that are sent while it is written."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        self._buffer = bytearray()
        self._blocks = _Blocks()
        self._sending: asyncio.Task[object] | None = None

    async def write(self, data: bytes) -> None:
        """Appends bytes."""
        self._buffer += data
        if self._sending or len(self._buffer) >= PART:
            block = bytes(self._buffer)
            self._buffer.clear()
            await self._hand_over(block)

    async def commit(self) -> None:
        """Makes all bytes durable, and the blob visible, at once."""
        finishing = asyncio.ensure_future(self._finish())
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            await asyncio.wait({finishing})
            if not finishing.exception():
                with suppress(Exception):  # the cancellation is what is to be heard of
                    await self._store.delete_async(self._key)
            raise

    async def abandon(self) -> None:
        """Gives the blob up unless it was committed, parts that were sent too."""
        if self._sending is None:
            return
        if not self._sending.done():
            with suppress(Exception):
                await self._hand_over(None)
            await asyncio.wait({self._sending})
        self._sending.exception()  # whoever was to hear of it has

    async def _finish(self) -> None:
        self._blocks.whole = True
        if self._sending is None:
            with _usable():
                await self._store.put_async(self._key, bytes(self._buffer), use_multipart=False)
            return
        await self._hand_over(None)
        with _usable():
            await self._sending

    async def _hand_over(self, block: bytes | None) -> None:
        """Has a block sent, or says that none follows. Raises what sending raises."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        handing = asyncio.ensure_future(self._blocks.put(block))
        await asyncio.wait({handing, self._sending}, return_when=asyncio.FIRST_COMPLETED)
        if not handing.done():
            handing.cancel()
            with _usable():
                await self._sending

    async def _send(self) -> object:
        return await self._store.put_async(
            self._key, self._blocks, use_multipart=True, chunk_size=PART, max_concurrency=PARTS_AT_ONCE
        )


class ObjectBlobs:
    """The BlobStore over an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._writers: set[ObjectBlobWriter] = set()

    async def close(self) -> None:
        """Gives up what is still being written, so that the store does not keep parts of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*(writer.abandon() for writer in self._writers))

    async def reach(self) -> None:
        """Raises OutOfReachError when the store cannot be reached, or does not let this process in."""
        try:
            async with asyncio.timeout(CHECK_S):
                with _usable():
                    async for _ in self._store.list(chunk_size=1):
                        return
        except TimeoutError:
            raise OutOfReachError(Component.BLOBS, "the object store does not answer") from None

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectBlobWriter]:
        """Opens a new blob for writing."""
        writer = ObjectBlobWriter(self._store, key)
        self._writers.add(writer)
        try:
            yield writer
        finally:
            await writer.abandon()
            self._writers.discard(writer)

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small blob, durably."""
        async with self.writer(key) as writer:
            await writer.write(data)
            await writer.commit()

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`, fewer where the blob ends. Raises BlobNotFoundError."""
        if start >= end:
            return b""
        with suppress(_PastTheEndError), _usable(key):
            return bytes(await self._store.get_range_async(key, start=start, end=end))
        return b""

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from `start` up to `end` in blocks of half a MiB and somewhat more. Raises BlobNotFoundError."""
        if end is not None and start >= end:
            return
        some: GetOptions = {"range": {"offset": start} if end is None else (start, end)}
        with suppress(_PastTheEndError), _usable(key):
            found = await self._store.get_async(key, options=some if start or end else None)
            async for block in found.stream(min_chunk_size=BLOCK):
                yield block

    async def delete(self, keys: Collection[str]) -> None:
        """Removes blobs; those that do not exist are passed over."""
        if not keys:
            return
        with _usable():
            try:
                await self._store.delete_async(list(keys))
            except FileNotFoundError:  # where a store minds one that does not exist, the others may still be there
                for key in keys:
                    with suppress(BlobNotFoundError), _usable(key):
                        await self._store.delete_async(key)

    async def delete_below(self, prefix: str) -> None:
        """Removes all blobs whose key starts with `prefix` and a slash."""
        async for page in self._pages(prefix):
            await self.delete([found["path"] for found in page])

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """Yields the keys below a prefix of blobs stored before an instant, some hundred at a time."""
        async for page in self._pages(prefix):
            yield [found["path"] for found in page if found["last_modified"].timestamp() < before]

    async def clear_temporary(self, before: float) -> None:
        """Does nothing: parts of uploads that were not ended do not show, and end by a rule of the bucket."""

    async def _pages(self, prefix: str) -> AsyncGenerator[Sequence[ObjectMeta], None]:
        with _usable():
            async for page in self._store.list(f"{prefix}/", chunk_size=PAGE):
                yield page


class _PastTheEndError(Exception):
    """A range begins where the blob has no more bytes."""


@contextmanager
def _usable(key: str = "") -> Iterator[None]:
    """Raises BlobNotFoundError for a blob that is not there, and OutOfReachError for a store that does not do its part.

    Where the whole bucket is missing, the blob may be there again with it.
    """
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        said = str(error)
        if "416 Range Not Satisfiable" in said:  # obstore has no exception of its own for it
            raise _PastTheEndError from None
        if key and isinstance(error, FileNotFoundError) and not re.search(NO_BUCKET, said):
            raise BlobNotFoundError(key) from None
        raise OutOfReachError(Component.BLOBS, _in_short(error)) from None


def _in_short(error: Exception) -> str:
    """Returns one line of what obstore says in many, and the store's own words where it had some."""
    said = str(error).split("\n\nDebug source", maxsplit=1)[0]
    message = re.search("<Message>(.*?)</Message>", said, re.DOTALL)
    line = said.split("<?xml", maxsplit=1)[0].strip().rstrip(":")
    return " ".join((f"{line}: {message[1]}" if message else line).split())
