"""Makes calls: adds the key and the time limit, repeats what may be repeated, raises typed errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from batchwire_client._settings import Settings
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.deadline import Deadline
from batchwire_client._transport.errors import translated
from batchwire_client._transport.sync_streams import Stream, follow
from batchwire_client._transport.sync_uploads import Sender, send
from batchwire_client.errors import ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class Calls:
    """The one way in which the resources of a client call the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def once(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """A call that must not be repeated."""
        try:
            return method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise translated(error) from error

    def safely(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """A call that may be repeated, and is while the server cannot be reached."""
        return self.repeated(lambda: self.once(method, request))

    def repeated(self, attempt: Callable[[], R]) -> R:
        """What the attempt returns, repeated while the server cannot be reached."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return attempt()
            except ServerUnavailable:
                time.sleep(pause)
        return attempt()

    def follow(
        self, method: grpc.UnaryStreamMultiCallable[Q, M], cursor: Cursor[Q, M, T], timeout: float | None = None
    ) -> Iterator[T]:
        """What the cursor takes from a stream, across broken connections, for `timeout` seconds at most."""
        deadline = Deadline(timeout)

        def dial(request: Q) -> Stream[M]:
            return method(request, timeout=deadline.left(), metadata=self._settings.metadata)

        return follow(dial, cursor, self._settings.retry_policy, deadline)

    def send(self, method: Sender[Q, R], messages: Iterator[Q]) -> R:
        """Sends many messages for one answer; never repeated."""
        return send(method, messages, self._settings.metadata)
