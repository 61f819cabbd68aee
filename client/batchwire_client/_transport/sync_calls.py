"""Calls to the server: adds metadata and timeout, retries where safe, raises typed errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from batchwire_client._settings import Settings
from batchwire_client._transport.cursors import Cursor
from batchwire_client._transport.errors import client_error
from batchwire_client._transport.sync_streams import Deadline, Stream, follow
from batchwire_client._transport.sync_uploads import ClientStream, send
from batchwire_client.errors import ServerUnavailable

RequestT = TypeVar("RequestT")
MessageT = TypeVar("MessageT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


class Calls:
    """Makes all calls of a client. Shared by its resources."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def call(self, method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call a unary method once. Do not retry."""
        try:
            return method(request, timeout=self._settings.timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise client_error(error) from error

    def call_with_retries(
        self, method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> ResponseT:
        """Call a unary method that is safe to repeat. Retry while the server is unavailable."""
        return self.with_retries(lambda: self.call(method, request))

    def with_retries(self, attempt: Callable[[], ResponseT]) -> ResponseT:
        """Return the result of `attempt`. Retry it while the server is unavailable."""
        for pause in self._settings.retry_policy.calls.pauses():
            try:
                return attempt()
            except ServerUnavailable:
                time.sleep(pause)
        return attempt()

    def follow(
        self,
        method: grpc.UnaryStreamMultiCallable[RequestT, MessageT],
        cursor: Cursor[RequestT, MessageT, ItemT],
        timeout: float | None = None,
    ) -> Iterator[ItemT]:
        """Yield the items of a server stream. If it breaks, resume it at the cursor.

        Raises:
            DeadlineExceeded: The stream has not ended after `timeout` seconds.
        """
        deadline = Deadline(timeout)

        def open_stream(request: RequestT) -> Stream[MessageT]:
            return method(request, timeout=deadline.left(), metadata=self._settings.metadata)

        return follow(open_stream, cursor, self._settings.retry_policy, deadline)

    def send(self, method: ClientStream[RequestT, ResponseT], messages: Iterator[RequestT]) -> ResponseT:
        """Send a client stream and return the response. Do not retry."""
        return send(method, messages, self._settings.metadata)
