"""Makes calls: adds metadata and the deadline, retries idempotent calls, raises typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc

from batchwire_client._settings import Settings
from batchwire_client._transport.async_streams import Stream, follow
from batchwire_client._transport.async_uploads import send
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.errors import client_error
from batchwire_client.errors import ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class Calls:
    """Makes the calls of all resources of a client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Call once, without retries."""
        try:
            return await method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise client_error(error) from error

    async def call_with_retries(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Call, and retry while the server cannot be reached."""
        return await self.with_retries(lambda: self.call(method, request))

    async def with_retries(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Return the result of `attempt`, which is retried while the server cannot be reached."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return await attempt()
            except ServerUnavailable:
                await asyncio.sleep(pause)
        return await attempt()

    def follow(self, method: grpc.aio.UnaryStreamMultiCallable[Q, M], cursor: Cursor[Q, M, T]) -> AsyncIterator[T]:
        """Yield what the cursor takes from a stream, and resume when the connection breaks."""

        def open_stream(request: Q) -> Stream[M]:
            return method(request, metadata=self._settings.metadata)

        return follow(open_stream, cursor, self._settings.retry_policy)

    async def send(self, method: grpc.aio.StreamUnaryMultiCallable[Q, R], messages: AsyncIterator[Q]) -> R:
        """Send a client stream and return the response, without retries."""
        return await send(method, messages, self._settings.metadata)
