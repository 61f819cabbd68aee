"""A reply that is written as an RPC sends it, and that ends the RPC when the caller leaves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.types import Receive, Scope, Send

from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.web.request_body import DisconnectedError

_LOGGER = logging.getLogger(__name__)


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
