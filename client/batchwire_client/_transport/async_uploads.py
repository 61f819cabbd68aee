"""Sends client streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import grpc

from batchwire_client._transport.errors import client_error

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")

_MASKED_DETAILS = "Internal error from Core"
_FINAL_STATUS_TIMEOUT_S = 1.0


async def send(
    method: grpc.aio.StreamUnaryMultiCallable[Q, R],
    messages: AsyncIterator[Q],
    metadata: tuple[tuple[str, str | bytes], ...],
) -> R:
    """Send all messages and return the response. Errors of the source are raised unchanged."""
    call = method(metadata=metadata)
    final_status = _FinalStatus(call)
    try:
        async for message in messages:
            if call.done():  # refused early; the status says why
                break
            await call.write(message)
        else:
            await call.done_writing()
        return await call
    except grpc.aio.AioRpcError as error:
        raise client_error(await final_status.of(error)) from error
    finally:
        call.cancel()


class _FinalStatus:
    """The status that the server sent.

    If a write fails because the server has already refused, grpc.aio replaces the server's status
    with an internal error of its own, before or after it arrives. So the status is read when the
    call is done, and again at the end.
    """

    def __init__(self, call: grpc.aio.StreamUnaryCall[Any, Any]) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def of(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return the server's own error if `error` only masks it, else `error`."""
        if not _hides_another(error):
            return error
        if self._first is not None and not _hides_another(self._first):
            return self._first
        try:
            async with asyncio.timeout(_FINAL_STATUS_TIMEOUT_S):
                await self._call
        except grpc.aio.AioRpcError as last:
            return last
        except TimeoutError:  # the write failed for another reason
            return error
        return error

    def _note(self, _call: object) -> None:
        self._first = _at_once(_error_of(self._call))


def _hides_another(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _MASKED_DETAILS


async def _error_of(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*(await call.trailing_metadata() or ()))
    return grpc.aio.AioRpcError(await call.code(), trailing_metadata=metadata, details=await call.details())


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits, such as one of an ended call."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("an ended call had to wait for its status")
