"""Methods that stream a resource as it changes, or lines as they come.

A resource becomes server-sent events: each message is an event named after its type (`batch`), whose data is the resource's JSON. After
the last comes the event `done` with the data `[DONE]`, on which a browser should close its EventSource, since that dials again whenever a
stream ends. Should the RPC fail, the event `error` holds the error's JSON and the stream ends without `done`; dialling again resumes.

Lines become JSON Lines as they are. They have no room for an error, so a failure breaks the connection before the reply's end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import msgspec
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import from_rpc
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.methods.streamed import Streamed, opened

# A proxy that held the stream back until it has more would defeat it.
_LIVE = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def events(exchange: Exchange) -> ASGIApp:
    """Answer with server-sent events."""
    call, first, rest = await opened(exchange, exchange.request(query=True))
    return Streamed(exchange, call, _events(exchange, first, rest), {"content-type": "text/event-stream", **_LIVE})


async def lines(exchange: Exchange) -> ASGIApp:
    """Answer with JSON Lines."""
    call, first, rest = await opened(exchange, exchange.request(query=True))
    return Streamed(exchange, call, _lines(first, rest), {"content-type": "application/jsonl", **_LIVE})


async def _events(exchange: Exchange, first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for message in _all(first, rest):
            yield _event(message.DESCRIPTOR.name.lower(), exchange.render(message))
        yield b"event: done\ndata: [DONE]\n\n"
    except grpc.aio.AioRpcError as error:
        yield _event("error", exchange.route.dialect.error(from_rpc(error, exchange.visit.request_id)))


async def _lines(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for message in _all(first, rest):
        yield message.data


async def _all(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    if first is not None:
        yield first
        async for message in rest:
            yield message


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
