"""Sends streams whose messages come from the caller's own code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import grpc

from batchwire_client._transport.errors import translated

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")

_MASK = "Internal error from Core"
_VERDICT_SECONDS = 1.0


async def send(
    method: grpc.aio.StreamUnaryMultiCallable[Q, R],
    messages: AsyncIterator[Q],
    metadata: tuple[tuple[str, str | bytes], ...],
) -> R:
    """Sends all messages and returns the answer. An error that the source raises is raised here as it is."""
    call = method(metadata=metadata)
    verdict = _Verdict(call)
    try:
        async for message in messages:
            if call.done():  # refused before the end: the answer says why
                break
            await call.write(message)
        else:
            await call.done_writing()
        return await call
    except grpc.aio.AioRpcError as error:
        raise translated(await verdict.behind(error)) from error
    finally:
        call.cancel()


class _Verdict:
    """What the server said when it ended a call.

    When a write fails because the server has already refused, gRPC's asyncio calls put an internal error of their own in the
    place of the server's status: over it, or until it comes. So the status is read when the call is done, and again at the end.
    """

    def __init__(self, call: grpc.aio.StreamUnaryCall[Any, Any]) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def behind(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The server's own error, if this one only hides it."""
        if not _hides_another(error):
            return error
        if self._first is not None and not _hides_another(self._first):
            return self._first
        try:
            async with asyncio.timeout(_VERDICT_SECONDS):
                await self._call
        except grpc.aio.AioRpcError as last:
            return last
        except TimeoutError:  # the write failed for a reason of its own
            return error
        return error

    def _note(self, _call: object) -> None:
        self._first = _at_once(_error_of(self._call))


def _hides_another(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _MASK


async def _error_of(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*(await call.trailing_metadata() or ()))
    return grpc.aio.AioRpcError(await call.code(), trailing_metadata=metadata, details=await call.details())


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for, as those of an ended call have not."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("an ended call had to wait for its status")
