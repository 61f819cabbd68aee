"""Read the body of a request, and notice when the caller disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from starlette.types import Receive

_T = TypeVar("_T")

_DRAIN_TIMEOUT_S = 30.0


class DisconnectedError(Exception):
    """The caller disconnected, so no reply can be sent."""


class BodyTooLargeError(Exception):
    """The body has more bytes than are allowed."""


class RequestBody:
    """The body of one request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._started = False
        self._ended = False

    @property
    def partly_read(self) -> bool:
        """True if some of the body has been read, but not all."""
        return self._started and not self._ended

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises DisconnectedError if the caller leaves early."""
        self._started = True
        while not self._ended:
            yield await self._next()

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises BodyTooLargeError if it has more than `limit` bytes."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError
        return bytes(body)

    async def drain(self, limit: int) -> None:
        """Read and drop the rest of the body, for at most `limit` bytes and half a minute."""
        dropped = 0
        with contextlib.suppress(DisconnectedError, TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                async for chunk in self.chunks():
                    dropped += len(chunk)
                    if dropped > limit:
                        return

    async def while_connected(self, work: Awaitable[_T]) -> _T:
        """Return the result of some work, and cancel the work if the caller leaves before its end.

        The rest of the body is dropped.

        Raises:
            DisconnectedError: the caller left.
        """
        working = asyncio.ensure_future(work)
        disconnected = asyncio.create_task(self._disconnected())
        try:
            await asyncio.wait({working, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise DisconnectedError
            return working.result()
        finally:
            working.cancel()
            disconnected.cancel()
            await asyncio.gather(working, disconnected, return_exceptions=True)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        self._ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def _disconnected(self) -> None:
        with contextlib.suppress(DisconnectedError):
            while True:
                await self._next()
