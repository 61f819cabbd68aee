"""Sends client streams."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Generic, Protocol, Self, TypeVar

import grpc

from batchwire_client._transport.errors import client_error
from batchwire_client._transport.silence import Cancellable

Q = TypeVar("Q")
Q_contra = TypeVar("Q_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Reply(Cancellable, Protocol[R_co]):
    """The response of a call in flight."""

    def result(self) -> R_co:
        """Wait for the response and return it."""


class Sender(Protocol[Q_contra, R_co]):
    """A client-streaming method."""

    def future(self, messages: Iterator[Q_contra], /, *, metadata: tuple[tuple[str, str | bytes], ...]) -> Reply[R_co]:
        """Start a call."""


class _Feed(Generic[Q]):
    """The messages, as gRPC's own thread reads them.

    An error of the source must reach the caller. It must not look like the end of the stream, which
    would commit half a file. So the error is kept, and the call is cancelled.
    """

    def __init__(self, messages: Iterator[Q]) -> None:
        self._messages = messages
        self.call: Future[Cancellable] = Future()
        self.error: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Q:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            self.call.result().cancel()
            raise StopIteration from error


def send(method: Sender[Q, R], messages: Iterator[Q], metadata: tuple[tuple[str, str | bytes], ...]) -> R:
    """Send all messages and return the response. Errors of the source are raised unchanged."""
    feed = _Feed(messages)
    call = method.future(feed, metadata=metadata)
    feed.call.set_result(call)
    try:
        return call.result()
    except (grpc.RpcError, grpc.FutureCancelledError) as error:
        if feed.error is not None:
            raise feed.error from None
        if isinstance(error, grpc.RpcError):
            raise client_error(error) from error
        raise
    except BaseException:
        call.cancel()
        raise
