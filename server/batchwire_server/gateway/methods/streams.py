"""Methods that stream a resource as it changes, or lines as they come.

A resource becomes server-sent events: each message is an event named after its type (`batch`), whose data is the resource's JSON. After
the last comes the event `done` with the data `[DONE]`, on which a browser should close its EventSource, since that dials again whenever a
stream ends. Should the RPC fail, the event `error` holds the error's JSON and the stream ends without `done`; dialling again resumes.

Lines become JSON Lines as they are. They have no room for an error, so a failure breaks the connection before the reply's end.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import msgspec
from google.protobuf.message import Message
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwire_server.gateway.errors import from_rpc
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.web.request_body import DisconnectedError

_LOGGER = logging.getLogger(__name__)

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


class Streamed:
    """A reply whose body is what a call still sends. It owns the call."""

    def __init__(
        self,
        exchange: Exchange,
        call: Any,
        body: AsyncIterator[bytes],
        headers: Mapping[str, str],
        *,
        status: int = 200,
    ) -> None:
        self._exchange = exchange
        self._call = call
        self._body = body
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply."""
        try:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if not self._exchange.is_head:
                await self._exchange.inbound.while_connected(self._pump(send))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except DisconnectedError:
            return
        except grpc.aio.AioRpcError as error:  # too late for a status; the server cuts a reply that is left unfinished
            request_id = self._exchange.visit.request_id
            _LOGGER.warning("request %s broke off: %s %s", request_id, error.code().name, error.details())
        finally:
            self._call.cancel()

    async def _pump(self, send: Send) -> None:
        async for chunk in self._body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def opened(exchange: Exchange, request: Message) -> tuple[Any, Any, AsyncIterator[Any]]:
    """Start a call and wait for its first message, so that what fails at once still gets its status.

    Returns:
        The call, its first message (None when it ended without any), and the rest.
    """
    call = exchange.start(request)
    stream = aiter(call)
    return call, await exchange.inbound.while_connected(anext(stream, None)), stream
