"""Methods with one request and one reply: JSON or query in, JSON out."""

from starlette.types import ASGIApp

from batchwire_server.rest.exchange import Exchange, Json
from batchwire_server.rest.parse import parse_body


async def unary(exchange: Exchange) -> ASGIApp:
    """Answer with the method's reply."""
    request = exchange.request(query=not exchange.route.takes_body)
    if exchange.route.takes_body:
        body = exchange.rpc.request()
        parse_body(await exchange.inbound.whole(exchange.options.max_json_bytes), body)
        body.MergeFrom(request)
        request = body
    reply = await exchange.inbound.while_connected(exchange.start(request))
    return Json(exchange.render(reply))
