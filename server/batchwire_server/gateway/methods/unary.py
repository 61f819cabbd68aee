"""Methods with one request and one reply: JSON or query in, JSON out."""

from __future__ import annotations

from starlette.types import ASGIApp

from batchwire_server.gateway.methods.call import Exchange, Json


async def unary(exchange: Exchange) -> ASGIApp:
    """Answer with the method's reply."""
    takes_body = exchange.route.takes_body
    body = await exchange.inbound.whole(exchange.options.max_json_bytes) if takes_body else b""
    request = exchange.request(query=not takes_body, body=body)
    reply = await exchange.inbound.while_connected(exchange.start(request))
    return Json(exchange.render(reply))
