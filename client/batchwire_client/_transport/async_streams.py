"""Server streams that resume after a broken connection, for asyncio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar

import grpc

from batchwire_client._bytes import LineSplitter
from batchwire_client._retries import RetryPolicy
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.errors import client_error
from batchwire_client.errors import BatchwireError, ServerUnavailable

RequestT = TypeVar("RequestT")
MessageT = TypeVar("MessageT")
MessageT_co = TypeVar("MessageT_co", covariant=True)
ItemT = TypeVar("ItemT")


class Stream(Protocol[MessageT_co]):
    """A call whose response is a stream of messages."""

    def __aiter__(self) -> AsyncIterator[MessageT_co]:
        """Return the messages."""

    def cancel(self) -> object:
        """Cancel the call."""


async def follow(
    open_stream: Callable[[RequestT], Stream[MessageT]],
    cursor: Cursor[RequestT, MessageT, ItemT],
    retry_policy: RetryPolicy,
) -> AsyncIterator[ItemT]:
    """Yield the items of a stream. If it breaks, resume it at the cursor.

    Raises:
        ServerUnavailable: The stream broke, and the retry policy allows no further attempt.
        BatchwireError: The server ended the stream with another error.
    """
    pauses = retry_policy.calls.pauses()
    while not cursor.complete():
        call = open_stream(cursor.request())
        messages = aiter(call)
        try:
            while (message := await _next(messages, cursor.label, retry_policy.silence)) is not None:
                pauses = retry_policy.streams.pauses()
                item = cursor.take(message)
                if item is not None:
                    yield item
                if cursor.complete():
                    return
            if cursor.may_end():
                return
            broken: BatchwireError = ServerUnavailable(f"{cursor.label}: the stream ended early")
        except grpc.RpcError as error:
            broken = client_error(error)
        except ServerUnavailable as error:
            broken = error
        finally:
            call.cancel()
        pause = next(pauses, None)
        if pause is None or not isinstance(broken, ServerUnavailable):
            raise broken
        await asyncio.sleep(pause)


async def json_lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON object of each line of a byte stream. Skip blank lines."""
    splitter = LineSplitter()
    async for piece in pieces:
        for line in splitter.feed(piece):
            yield json.loads(line)
    for line in splitter.flush():
        yield json.loads(line)


async def _next(messages: AsyncIterator[MessageT], label: str, silence: float) -> MessageT | None:
    try:
        async with asyncio.timeout(silence):
            return await anext(messages, None)
    except TimeoutError:
        raise ServerUnavailable(f"{label}: no message for {silence:g} s") from None
