"""Handle methods that stream a resource as it changes, or lines as they are ready.

A resource is sent as server-sent events. Each message is an event named after its type (`batch`),
whose data is the resource's JSON. The last event is `done` with the data `[DONE]`. On it, a browser
should close its EventSource, which otherwise connects again. If the RPC fails, the event `error`
has the error's JSON, and the stream ends without `done`; a client that connects again resumes.

Lines are sent as JSON Lines. They cannot carry an error, so a failure breaks the connection before
the reply's end.
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
from batchwire_server.gateway.methods.call import Call
from batchwire_server.gateway.web.request_body import DisconnectedError

log = logging.getLogger(__name__)

# Asks proxies not to buffer the stream.
_UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def events(call: Call) -> ASGIApp:
    """Reply with server-sent events."""
    rpc_call, first, rest = await open_stream(call, call.request(query=True))
    headers = {"content-type": "text/event-stream", **_UNBUFFERED}
    return StreamResponse(call, rpc_call, _events(call, first, rest), headers)


async def lines(call: Call) -> ASGIApp:
    """Reply with JSON Lines."""
    rpc_call, first, rest = await open_stream(call, call.request(query=True))
    headers = {"content-type": "application/jsonl", **_UNBUFFERED}
    return StreamResponse(call, rpc_call, _lines(first, rest), headers)


async def open_stream(call: Call, request: Message) -> tuple[Any, Any, AsyncIterator[Any]]:
    """Start a server-streaming RPC. Wait for its first message: early errors then get a status.

    Returns:
        gRPC's call, its first message (None if there was none), and the other messages.

    Raises:
        AioRpcError: the RPC failed before its first message.
        DisconnectedError: the caller left.
    """
    rpc_call = call.start(request)
    stream = aiter(rpc_call)
    return rpc_call, await call.request_body.while_connected(anext(stream, None)), stream


class StreamResponse:
    """A reply whose body is streamed by an RPC. Cancels the RPC if the caller leaves."""

    def __init__(
        self,
        call: Call,
        rpc_call: Any,
        body: AsyncIterator[bytes],
        headers: Mapping[str, str],
        *,
        status: int = 200,
    ) -> None:
        self._call = call
        self._rpc_call = rpc_call
        self._body = body
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply."""
        try:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if not self._call.is_head:
                await self._call.request_body.while_connected(self._send_body(send))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except DisconnectedError:
            return
        except grpc.aio.AioRpcError as error:  # too late for a status: the HTTP server cuts an unfinished reply
            request_id, code = self._call.context.request_id, error.code().name
            log.warning(
                "the reply to request %s was cut: its RPC failed with %s: %s", request_id, code, error.details()
            )
        finally:
            self._rpc_call.cancel()

    async def _send_body(self, send: Send) -> None:
        async for chunk in self._body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _events(call: Call, first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for message in _messages(first, rest):
            yield _event(message.DESCRIPTOR.name.lower(), call.render(message))
        yield b"event: done\ndata: [DONE]\n\n"
    except grpc.aio.AioRpcError as error:
        yield _event("error", call.route.dialect.render_error(from_rpc(error, call.context.request_id)))


async def _lines(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for message in _messages(first, rest):
        yield message.data


async def _messages(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    if first is not None:
        yield first
        async for message in rest:
            yield message


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
