"""What the caller sends: a body in pieces, and perhaps a goodbye before the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from starlette.types import Receive

T = TypeVar("T")

_DRAIN_SECONDS = 30.0


class DisconnectedError(Exception):
    """The caller is gone; nobody is left to answer."""


class BodyTooLargeError(Exception):
    """The body has more bytes than are allowed."""


class Inbound:
    """The receiving side of one request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._begun = False
        self._ended = False

    @property
    def interrupted(self) -> bool:
        """Whether the body has been read in part."""
        return self._begun and not self._ended

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises DisconnectedError when the caller leaves before its end."""
        self._begun = True
        while not self._ended:
            yield await self._next()

    async def whole(self, limit: int) -> bytes:
        """The body at once. Raises BodyTooLargeError when it is longer than `limit` bytes."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > limit:
                raise BodyTooLargeError
        return bytes(body)

    async def drain(self, limit: int) -> None:
        """Read and drop what is left of the body: `limit` bytes of it at most, for half a minute at most."""
        dropped = 0
        with contextlib.suppress(DisconnectedError, TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                async for piece in self.pieces():
                    dropped += len(piece)
                    if dropped > limit:
                        return

    async def while_connected(self, work: Awaitable[T]) -> T:
        """Await something, which is cancelled when the caller leaves before it is done. What is left of the body is dropped.

        Raises:
            DisconnectedError: the caller left.
        """
        working = asyncio.ensure_future(work)
        leaving = asyncio.create_task(self._gone())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise DisconnectedError
            return working.result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        self._ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def _gone(self) -> None:
        with contextlib.suppress(DisconnectedError):
            while True:
                await self._next()
