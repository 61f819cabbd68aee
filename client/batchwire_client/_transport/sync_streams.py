"""Reads streams, and resumes them when the connection breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import grpc

from batchwire_client._retries import RetryPolicy
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.deadline import Deadline
from batchwire_client._transport.errors import client_error
from batchwire_client._transport.silence import SilenceGuard
from batchwire_client.errors import BatchwireError, ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
T = TypeVar("T")


class Stream(Protocol[M_co]):
    """A call in flight whose response is a stream."""

    def __iter__(self) -> Iterator[M_co]:
        """Return the messages."""

    def cancel(self) -> object:
        """Cancel the call."""


def follow(
    open_stream: Callable[[Q], Stream[M]], cursor: Cursor[Q, M, T], retry_policy: RetryPolicy, deadline: Deadline
) -> Iterator[T]:
    """Yield what the cursor takes from the stream, and resume as the retry policy allows."""
    pauses = retry_policy.calls.pauses()
    while not cursor.complete():
        try:
            for message in _messages(open_stream(cursor.request()), retry_policy.silence):
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
        pause = next(pauses, None)
        if pause is None or not isinstance(broken, ServerUnavailable):
            raise broken
        time.sleep(deadline.cut(pause))


def _messages(call: Stream[M], silence: float) -> Iterator[M]:
    messages = iter(call)
    try:
        with SilenceGuard(call, silence) as guard:
            while True:
                guard.waiting()
                try:
                    message = next(messages)
                except StopIteration:
                    return
                except grpc.RpcError:
                    if guard.tripped:
                        raise ServerUnavailable(f"the stream was silent for {silence:g} s") from None
                    raise
                guard.heard()
                yield message
    finally:
        call.cancel()
