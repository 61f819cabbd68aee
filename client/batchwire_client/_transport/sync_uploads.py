"""Client streams whose messages come from the caller's code, sent by blocking code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc

from batchwire_client._transport.errors import client_error

RequestT = TypeVar("RequestT")
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT = TypeVar("ResponseT")
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Call(Protocol[ResponseT_co]):
    """A call in flight."""

    def result(self) -> ResponseT_co:
        """Wait for the response and return it."""

    def cancel(self) -> object:
        """Cancel the call."""


class ClientStream(Protocol[RequestT_contra, ResponseT_co]):
    """A method that takes a stream of messages and returns one response."""

    def future(
        self, messages: Iterator[RequestT_contra], /, *, metadata: tuple[tuple[str, str | bytes], ...]
    ) -> Call[ResponseT_co]:
        """Start a call."""


class _Messages(Generic[RequestT]):
    """The caller's messages, read by a thread of gRPC.

    gRPC takes an exception of the iterator for the end of the stream, which would commit an
    incomplete file. So an exception is kept for the caller, and the call is cancelled.
    """

    def __init__(self, messages: Iterator[RequestT]) -> None:
        self._messages = messages
        self.call: Future[Call[Any]] = Future()
        self.error: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RequestT:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            self.call.result().cancel()
            raise StopIteration from error


def send(
    method: ClientStream[RequestT, ResponseT],
    messages: Iterator[RequestT],
    metadata: tuple[tuple[str, str | bytes], ...],
) -> ResponseT:
    """Send all messages and return the response.

    Raises:
        BatchwireError: The server refused the call, or the connection broke.
        BaseException: Iterating `messages` raised it. Nothing is stored.
    """
    outgoing = _Messages(messages)
    call = method.future(outgoing, metadata=metadata)
    outgoing.call.set_result(call)
    try:
        return call.result()
    except (grpc.RpcError, grpc.FutureCancelledError) as error:
        if outgoing.error is not None:
            raise outgoing.error from None
        if isinstance(error, grpc.RpcError):
            raise client_error(error) from error
        raise
    except BaseException:
        call.cancel()
        raise


def map_parallel(function: Callable[[ItemT], ResultT], items: Sequence[ItemT], parallel: int) -> list[ResultT]:
    """Return the results for all items, in order. Run up to `parallel` at the same time.

    If an item fails, start no further ones, wait for those in flight, and raise its error.
    """
    with ThreadPoolExecutor(parallel, thread_name_prefix="batchwire-part") as pool:
        return list(pool.map(function, items))
