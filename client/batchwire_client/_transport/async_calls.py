"""Makes calls: adds the key and the time limit, repeats what may be repeated, raises typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc

from batchwire_client._settings import Settings
from batchwire_client._transport.async_streams import Stream, follow
from batchwire_client._transport.async_uploads import send
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.errors import translated
from batchwire_client.errors import ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class Calls:
    """The one way in which the resources of a client call the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def once(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """A call that must not be repeated."""
        try:
            return await method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise translated(error) from error

    async def safely(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """A call that may be repeated, and is while the server cannot be reached."""
        return await self.repeated(lambda: self.once(method, request))

    async def repeated(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """What the attempt returns, repeated while the server cannot be reached."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return await attempt()
            except ServerUnavailable:
                await asyncio.sleep(pause)
        return await attempt()

    def follow(self, method: grpc.aio.UnaryStreamMultiCallable[Q, M], cursor: Cursor[Q, M, T]) -> AsyncIterator[T]:
        """What the cursor takes from a stream, across broken connections."""

        def dial(request: Q) -> Stream[M]:
            return method(request, metadata=self._settings.metadata)

        return follow(dial, cursor, self._settings.retry_policy)

    async def send(self, method: grpc.aio.StreamUnaryMultiCallable[Q, R], messages: AsyncIterator[Q]) -> R:
        """Sends many messages for one answer; never repeated."""
        return await send(method, messages, self._settings.metadata)
