"""Reads streams, and resumes them when the connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

import grpc

from batchwire_client._retries import RetryPolicy
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.errors import client_error
from batchwire_client.errors import BatchwireError, ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
T = TypeVar("T")


class Stream(Protocol[M_co]):
    """A call in flight whose response is a stream."""

    def __aiter__(self) -> AsyncIterator[M_co]:
        """Return the messages."""

    def cancel(self) -> object:
        """Cancel the call."""


async def follow(
    open_stream: Callable[[Q], Stream[M]], cursor: Cursor[Q, M, T], retry_policy: RetryPolicy
) -> AsyncIterator[T]:
    """Yield what the cursor takes from the stream, and resume as the retry policy allows."""
    pauses = retry_policy.calls.pauses()
    while not cursor.complete():
        call = open_stream(cursor.request())
        messages = aiter(call)
        try:
            while (message := await _next(messages, retry_policy.silence)) is not None:
                pauses = retry_policy.streams.pauses()
                item = cursor.take(message)
                if item is not None:
                    yield item
                if cursor.complete():
                    return
            if cursor.may_end():
                return
            broken: BatchwireError = ServerUnavailable("the stream ended early")
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


async def _next(messages: AsyncIterator[M], silence: float) -> M | None:
    try:
        async with asyncio.timeout(silence):
            return await anext(messages, None)
    except TimeoutError:
        raise ServerUnavailable(f"the stream was silent for {silence:g} s") from None
