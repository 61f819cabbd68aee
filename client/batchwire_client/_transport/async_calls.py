"""Calls to the server: adds metadata and timeout, retries where safe, raises typed errors."""

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

RequestT = TypeVar("RequestT")
MessageT = TypeVar("MessageT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


class Calls:
    """Makes all calls of a client. Shared by its resources."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call a unary method once. Do not retry."""
        try:
            return await method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise client_error(error) from error

    async def call_with_retries(
        self, method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> ResponseT:
        """Call a unary method that is safe to repeat. Retry while the server is unavailable."""
        return await self.with_retries(lambda: self.call(method, request))

    async def with_retries(self, attempt: Callable[[], Awaitable[ResponseT]]) -> ResponseT:
        """Return the result of `attempt`. Retry it while the server is unavailable."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return await attempt()
            except ServerUnavailable:
                await asyncio.sleep(pause)
        return await attempt()

    def follow(
        self, method: grpc.aio.UnaryStreamMultiCallable[RequestT, MessageT], cursor: Cursor[RequestT, MessageT, ItemT]
    ) -> AsyncIterator[ItemT]:
        """Yield the items of a server stream. If it breaks, resume it at the cursor."""

        def open_stream(request: RequestT) -> Stream[MessageT]:
            return method(request, metadata=self._settings.metadata)

        return follow(open_stream, cursor, self._settings.retry_policy)

    async def send(
        self, method: grpc.aio.StreamUnaryMultiCallable[RequestT, ResponseT], messages: AsyncIterator[RequestT]
    ) -> ResponseT:
        """Send a client stream and return the response. Do not retry."""
        return await send(method, messages, self._settings.metadata)
