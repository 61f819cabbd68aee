"""Makes calls: adds metadata and the deadline, retries idempotent calls, raises typed errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from batchwire_client._settings import Settings
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.deadline import Deadline
from batchwire_client._transport.errors import client_error
from batchwire_client._transport.sync_streams import Stream, follow
from batchwire_client._transport.sync_uploads import Sender, send
from batchwire_client.errors import ServerUnavailable

Q = TypeVar("Q")
M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class Calls:
    """Makes the calls of all resources of a client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def call(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Call once, without retries."""
        try:
            return method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise client_error(error) from error

    def call_with_retries(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Call, and retry while the server cannot be reached."""
        return self.with_retries(lambda: self.call(method, request))

    def with_retries(self, attempt: Callable[[], R]) -> R:
        """Return the result of `attempt`, which is retried while the server cannot be reached."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return attempt()
            except ServerUnavailable:
                time.sleep(pause)
        return attempt()

    def follow(
        self, method: grpc.UnaryStreamMultiCallable[Q, M], cursor: Cursor[Q, M, T], timeout: float | None = None
    ) -> Iterator[T]:
        """Yield what the cursor takes from a stream, for at most `timeout` seconds.

        The stream resumes when the connection breaks.
        """
        deadline = Deadline(timeout)

        def open_stream(request: Q) -> Stream[M]:
            return method(request, timeout=deadline.left(), metadata=self._settings.metadata)

        return follow(open_stream, cursor, self._settings.retry_policy, deadline)

    def send(self, method: Sender[Q, R], messages: Iterator[Q]) -> R:
        """Send a client stream and return the response, without retries."""
        return send(method, messages, self._settings.metadata)
