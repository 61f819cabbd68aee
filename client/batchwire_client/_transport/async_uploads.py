"""Client streams whose messages come from the caller's code, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import grpc

from batchwire_client._transport.errors import client_error

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_MASKED_DETAILS = "Internal error from Core"
"""The details that gRPC reports for a write to an ended call, in place of the server's status."""

_FINAL_STATUS_TIMEOUT_S = 1.0


async def send(
    method: grpc.aio.StreamUnaryMultiCallable[RequestT, ResponseT],
    messages: AsyncIterator[RequestT],
    metadata: tuple[tuple[str, str | bytes], ...],
) -> ResponseT:
    """Send all messages and return the response.

    Raises:
        BatchwireError: The server refused the call, or the connection broke.
        BaseException: Iterating `messages` raised it. Nothing is stored.
    """
    call = method(metadata=metadata)
    status = _FinalStatus(call)
    try:
        async for message in messages:
            if call.done():  # the server has refused the call; its status says why
                break
            await call.write(message)
        else:
            await call.done_writing()
        return await call
    except grpc.aio.AioRpcError as error:
        raise client_error(await status.behind(error)) from error
    finally:
        call.cancel()


async def map_parallel(
    function: Callable[[ItemT], Awaitable[ResultT]], items: Sequence[ItemT], parallel: int
) -> list[ResultT]:
    """Return the results for all items, in order. Run up to `parallel` at the same time.

    If an item fails, cancel the others and raise its error.
    """
    slots = asyncio.Semaphore(parallel)

    async def run(item: ItemT) -> ResultT:
        async with slots:
            return await function(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


class _FinalStatus:
    """The status with which the server ended a call.

    If the server refuses a call during a write, the write fails with an internal error of gRPC's
    asyncio API. That error replaces the server's status, or hides it until it arrives. So the
    status is read as soon as the call is done, and once more when an error is raised.
    """

    def __init__(self, call: grpc.aio.StreamUnaryCall[Any, Any]) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._record)

    async def behind(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return the server's error if `error` only hides it, else `error`."""
        if not _is_failed_write(error):
            return error
        if self._first is not None and not _is_failed_write(self._first):
            return self._first
        try:
            async with asyncio.timeout(_FINAL_STATUS_TIMEOUT_S):
                await self._call
        except grpc.aio.AioRpcError as last:
            return last
        except TimeoutError:  # the server sent no status
            return error
        return error

    def _record(self, _call: object) -> None:
        self._first = _run_without_waiting(_error_of(self._call))


def _is_failed_write(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _MASKED_DETAILS


async def _error_of(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*(await call.trailing_metadata() or ()))
    return grpc.aio.AioRpcError(await call.code(), trailing_metadata=metadata, details=await call.details())


def _run_without_waiting(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Return the result of a coroutine that never suspends, such as those of an ended call."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: ResultT = end.value
        return result
    raise AssertionError("reading the status of an ended call suspended")
