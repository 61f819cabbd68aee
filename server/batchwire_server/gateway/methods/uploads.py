"""Methods that take a stream of bytes: multipart in, straight through to the RPC, JSON out.

The content is never kept: what the RPC does not take yet is not read from the caller either. The RPC is half-closed, which commits,
only when the whole form has arrived; whatever else happens cancels it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.call import Exchange, Json
from batchwire_server.gateway.methods.outcome import Outcome
from batchwire_server.gateway.transcoding.forms import FormRelay, missing_content
from batchwire_server.gateway.web.multipart import MalformedFormError, MultipartReader, NotAFormError, boundary_of


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
    return Json(exchange.render(reply))


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
