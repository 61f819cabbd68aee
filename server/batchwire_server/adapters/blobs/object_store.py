"""Blobs in an object store: S3 and compatible ones, Google Cloud Storage, Azure.

obstore reads credentials and endpoint from the usual environment variables of each store.
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
from batchwire_server.core.ports import BLOCK_BYTES, KEYS_PER_PAGE

if TYPE_CHECKING:  # obstore defines these for type checkers only
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PART_BYTES = 8 * 1024 * 1024
"""Stores accept 10,000 parts, so a blob can have 80 GB."""

PARTS_AT_ONCE = 2
NO_BUCKET = "NoSuchBucket|ContainerNotFound|bucket does not exist"
CHECK_S = 30.0
CLOSE_S = 5.0

# A call to a store that does not respond fails within half a minute: retries for 8 s, and the last
# one waits 20 s.
CLIENT: ClientConfig = {
    "allow_http": True,  # takes effect only if the endpoint is an http URL
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(days=1),  # of a whole stream, whose reader may be slow
}
RETRY: RetryConfig = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


def open_store(url: str) -> ObjectStore:
    """Open the store at a URL.

    Its query holds options by obstore's names, such as `?endpoint=http://…`. Raises OutOfReachError.
    """
    parts = urlsplit(url)
    place = parts._replace(query="").geturl()
    config: Any = dict(parse_qsl(parts.query))  # its type depends on the kind of store
    try:
        return from_url(place, config=config, client_options=CLIENT, retry_config=RETRY)
    except (BaseError, ValueError) as error:
        raise OutOfReachError(Component.BLOBS, f"{place}: {_in_short(error)}") from error


class _Blocks:
    """The blocks of a blob, as an iterator for obstore.

    It stops only when the blob is complete, and otherwise raises, however often it is asked. An
    error makes obstore abort the upload; cancelling the call would not. A generator would not do:
    one that is closed, as at the end of the event loop, just stops, and obstore would publish an
    incomplete blob.
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
            self._ended = True  # until another block arrives
            block = await self._next.get()
            if block is not None:
                self._ended = False
                return block
            if self.whole:
                raise StopAsyncIteration
        raise _AbandonedError


class _AbandonedError(Exception):
    """The blob was abandoned."""


class ObjectBlobWriter:
    """A blob that is being written: a small one in one request, a larger one in parts."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        self._buffer = bytearray()
        self._blocks = _Blocks()
        self._sending: asyncio.Task[object] | None = None

    async def write(self, data: bytes) -> None:
        """See BlobWriter."""
        self._buffer += data
        if self._sending or len(self._buffer) >= PART_BYTES:
            block = bytes(self._buffer)
            self._buffer.clear()
            await self._hand_over(block)

    async def commit(self) -> None:
        """See BlobWriter."""
        finishing = asyncio.ensure_future(self._finish())
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            await asyncio.wait({finishing})
            if not finishing.exception():
                with suppress(Exception):  # the caller gets the cancellation
                    await self._store.delete_async(self._key)
            raise

    async def abandon(self) -> None:
        """Abort the upload, including parts that were sent, unless it was committed."""
        if self._sending is None:
            return
        if not self._sending.done():
            with suppress(Exception):
                await self._hand_over(None)
            await asyncio.wait({self._sending})
        self._sending.exception()  # marks it as retrieved: the writing call has raised it already

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
        """Send a block, or end the blob with None. Raises what the upload raises."""
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
            self._key, self._blocks, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )


class ObjectBlobs:
    """The BlobStore over an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._writers: set[ObjectBlobWriter] = set()

    async def close(self) -> None:
        """Abort the uploads under way, so that the store keeps no parts of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*(writer.abandon() for writer in self._writers))

    async def reach(self) -> None:
        """Raise OutOfReachError if the store does not respond or denies access."""
        try:
            async with asyncio.timeout(CHECK_S):
                with _usable():
                    async for _ in self._store.list(chunk_size=1):
                        return
        except TimeoutError:
            raise OutOfReachError(Component.BLOBS, f"the object store did not answer within {CHECK_S:g} s") from None

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectBlobWriter]:
        """See BlobStore."""
        writer = ObjectBlobWriter(self._store, key)
        self._writers.add(writer)
        try:
            yield writer
        finally:
            await writer.abandon()
            self._writers.discard(writer)

    async def put(self, key: str, data: bytes) -> None:
        """See BlobStore."""
        async with self.writer(key) as writer:
            await writer.write(data)
            await writer.commit()

    async def read(self, key: str, start: int, end: int) -> bytes:
        """See BlobStore."""
        if start >= end:
            return b""
        with suppress(_PastTheEndError), _usable(key):
            return bytes(await self._store.get_range_async(key, start=start, end=end))
        return b""

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See BlobStore."""
        if end is not None and start >= end:
            return
        some: GetOptions = {"range": {"offset": start} if end is None else (start, end)}
        with suppress(_PastTheEndError), _usable(key):
            found = await self._store.get_async(key, options=some if start or end else None)
            async for block in found.stream(min_chunk_size=BLOCK_BYTES):
                yield block

    async def delete(self, keys: Collection[str]) -> None:
        """See BlobStore."""
        if not keys:
            return
        with _usable():
            try:
                await self._store.delete_async(list(keys))
            except FileNotFoundError:  # this store refuses the whole request if one key is missing
                for key in keys:
                    with suppress(BlobNotFoundError), _usable(key):
                        await self._store.delete_async(key)

    async def delete_below(self, prefix: str) -> None:
        """See BlobStore."""
        async for page in self._pages(prefix):
            await self.delete([found["path"] for found in page])

    async def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """See BlobStore."""
        async for page in self._pages(prefix):
            yield [found["path"] for found in page if found["last_modified"].timestamp() < before]

    async def clear_temporary(self, before: float) -> None:
        """Do nothing: a lifecycle rule of the bucket deletes unfinished uploads."""

    async def _pages(self, prefix: str) -> AsyncGenerator[Sequence[ObjectMeta], None]:
        with _usable():
            async for page in self._store.list(f"{prefix}/", chunk_size=KEYS_PER_PAGE):
                yield page


class _PastTheEndError(Exception):
    """The range begins at or after the end of the blob."""


@contextmanager
def _usable(key: str = "") -> Iterator[None]:
    """Raise BlobNotFoundError if the blob `key` is missing, OutOfReachError if the store fails.

    A missing bucket counts as a failure of the store: the blob may still exist.
    """
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        said = str(error)
        if "416 Range Not Satisfiable" in said:  # obstore has no exception class for it
            raise _PastTheEndError from None
        if key and isinstance(error, FileNotFoundError) and not re.search(NO_BUCKET, said):
            raise BlobNotFoundError(key) from None
        raise OutOfReachError(Component.BLOBS, _in_short(error)) from None


def _in_short(error: Exception) -> str:
    """Return obstore's message in one line, with the store's own message if there is one."""
    said = str(error).split("\n\nDebug source", maxsplit=1)[0]
    message = re.search("<Message>(.*?)</Message>", said, re.DOTALL)
    line = said.split("<?xml", maxsplit=1)[0].strip().rstrip(":")
    return " ".join((f"{line}: {message[1]}" if message else line).split())
