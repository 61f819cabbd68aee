"""Methods that take a stream of bytes: multipart in, straight through to the RPC, JSON out.

The content is never kept: what the RPC does not take yet is not read from the caller either. The RPC is half-closed, which commits,
only when the whole form has arrived; whatever else happens cancels it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.transcoding.forms import FormRelay, missing_content
from batchwire_server.gateway.web.multipart import MalformedFormError, MultipartReader, NotAFormError, boundary_of
from batchwire_server.gateway.web.responses import JsonResponse

_MASK = "Internal error from Core"
_PATIENCE_SECONDS = 1.0


class _CallEndedError(Exception):
    """The RPC has ended before the form: its own result says why."""


async def upload(exchange: Exchange) -> ASGIApp:
    """Answer with what the method makes of the form; at once, should it not want to hear the rest."""
    call = exchange.start()
    outcome = Outcome(call)
    answer = asyncio.ensure_future(call)
    sending = asyncio.create_task(_send(exchange, call))
    try:
        await asyncio.wait({answer, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await _sent(sending)
            await exchange.inbound.while_connected(answer)
        reply = answer.result()
    except grpc.aio.AioRpcError as error:
        raise await outcome.told(error) from None
    finally:
        call.cancel()
        sending.cancel()
        await asyncio.gather(answer, sending, return_exceptions=True)
    return JsonResponse(exchange.render(reply))


async def _sent(sending: asyncio.Task[None]) -> None:
    try:
        await sending
    except _CallEndedError:
        return


async def _send(exchange: Exchange, call: Any) -> None:
    async def write(message: Message) -> None:
        try:
            await call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise _CallEndedError from None

    relay = FormRelay(exchange.request(), write, exchange.begun)
    try:
        await relay.begin()
        reader = MultipartReader(boundary_of(exchange.headers.get("content-type", "")))
        async for piece in exchange.inbound.pieces():
            for event in reader.feed(piece):
                await relay.take(event)
    except NotAFormError:
        raise missing_content(relay.part) from None
    except MalformedFormError as error:
        raise ApiError(400, str(error)) from None
    finally:
        exchange.metrics.uploaded.inc(relay.content_bytes)
    if reader.empty:
        raise missing_content(relay.part)
    if not reader.complete:
        raise ApiError(400, "The multipart form ends before its last boundary.")
    await relay.finish()
    await call.done_writing()


class Outcome:
    """Remembers the status that the server sent.

    When a server ends a call while a message to it is being written, that write fails, and grpc.aio puts an INTERNAL of its own over the
    server's status, before or after it came (https://github.com/grpc/grpc/issues/36066). A refusal would look like a fault.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        self._error: grpc.aio.AioRpcError | None = None
        self._told = asyncio.Event()
        call.add_done_callback(self._note)

    async def told(self, seen: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """What the server said, given what the call raised; the latter when the server said nothing."""
        if seen.details() == _MASK:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _PATIENCE_SECONDS)
        return self._error or seen

    def _note(self, call: Any) -> None:
        """Called with each status that the call is given, while it has it."""
        code, details = _at_once(call.code()), _at_once(call.details())
        if self._error is None and code is not grpc.StatusCode.OK and details != _MASK:
            initial, trailing = _at_once(call.initial_metadata()), _at_once(call.trailing_metadata())
            self._error = grpc.aio.AioRpcError(code, initial, trailing, details)
            self._told.set()


def _at_once(ready: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for: a call that is done knows its status."""
    try:
        ready.send(None)
    except StopIteration as result:
        return result.value
    ready.close()
    raise RuntimeError("the call is not done")
