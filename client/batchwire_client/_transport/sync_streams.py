"""Server streams that resume after a broken connection, read by blocking code."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import grpc

from batchwire_client._bytes import split_lines
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

    def __iter__(self) -> Iterator[MessageT_co]:
        """Return the messages."""

    def cancel(self) -> object:
        """Cancel the call."""


class Deadline:
    """A point in time `seconds` from now, or never if that is None."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds left, at least 0. None means without limit."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def limit(self, pause: float) -> float:
        """Return the pause in seconds, shortened to end with the deadline."""
        left = self.left()
        return pause if left is None else min(pause, left)


class SilenceGuard:
    """Cancels a call if the reader waits longer than `limit` seconds for its next message.

    A blocking read has no timeout, so a thread measures it. The guard measures only the time that
    the reader waits, so a slow reader does not trip it.
    """

    def __init__(self, call: Stream[Any], limit: float) -> None:
        self._call = call
        self._limit = limit
        self._waiting_since: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="batchwire-silence", daemon=True)
        self.tripped = False

    def start_waiting(self) -> None:
        """Start measuring: the reader waits for a message."""
        self._waiting_since = time.monotonic()

    def stop_waiting(self) -> None:
        """Stop measuring: the message has arrived."""
        self._waiting_since = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = self._limit
        while not self._closed.wait(pause):
            since = self._waiting_since
            silent = 0.0 if since is None else time.monotonic() - since
            if silent >= self._limit:
                self.tripped = True
                self._call.cancel()
                return
            pause = self._limit - silent


def follow(
    open_stream: Callable[[RequestT], Stream[MessageT]],
    cursor: Cursor[RequestT, MessageT, ItemT],
    retry_policy: RetryPolicy,
    deadline: Deadline,
) -> Iterator[ItemT]:
    """Yield the items of a stream. If it breaks, resume it at the cursor.

    Raises:
        ServerUnavailable: The stream broke, and the retry policy allows no further attempt.
        BatchwireError: The server ended the stream with another error.
    """
    pauses = retry_policy.calls.pauses()
    while not cursor.complete():
        try:
            for message in _messages(open_stream(cursor.request()), cursor.label, retry_policy.silence):
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
        pause = next(pauses, None)
        if pause is None or not isinstance(broken, ServerUnavailable):
            raise broken
        time.sleep(deadline.limit(pause))


def json_lines(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each line of a byte stream. Skip blank lines."""
    return map(json.loads, split_lines(pieces))


def _messages(call: Stream[MessageT], label: str, silence: float) -> Iterator[MessageT]:
    messages = iter(call)
    try:
        with SilenceGuard(call, silence) as guard:
            while True:
                guard.start_waiting()
                try:
                    message = next(messages)
                except StopIteration:
                    return
                except grpc.RpcError:
                    if guard.tripped:
                        raise ServerUnavailable(f"{label}: no message for {silence:g} s") from None
                    raise
                guard.stop_waiting()
                yield message
    finally:
        call.cancel()
