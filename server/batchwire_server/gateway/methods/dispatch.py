"""Which handler answers for a method: its shape decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.methods.uploads import upload
from batchwire_server.gateway.web.request_body import BodyTooLargeError
from batchwire_server.gateway.web.responses import JsonResponse

Handler: TypeAlias = Callable[[Exchange], Awaitable[ASGIApp]]


def handler_for(method: MethodDescriptor) -> Handler:
    """The handler of a method.

    Raises:
        TypeError: REST cannot say what the method does, so it should have no http option.
    """
    match method.client_streaming, method.server_streaming:
        case False, False:
            return unary
        case True, False:
            return upload
        case False, True:
            return _streaming(method)
    raise TypeError(f"{method.full_name} streams both ways, which REST cannot say")


def _streaming(method: MethodDescriptor) -> Handler:
    """Bytes beside a description are a content to download, bytes without are lines, and no bytes are a resource that changes."""
    content = [field for field in method.output_type.fields if field.type == FieldDescriptor.TYPE_BYTES]
    if not content:
        return events
    return lines if content[0].containing_oneof is None else download


async def unary(exchange: Exchange) -> ASGIApp:
    """Answer with the method's reply."""
    takes_body = exchange.route.takes_body
    body = await _json_body(exchange) if takes_body else b""
    request = exchange.request(query=not takes_body, body=body)
    reply = await exchange.inbound.while_connected(exchange.start(request))
    return JsonResponse(exchange.render(reply))


async def _json_body(exchange: Exchange) -> bytes:
    limit = exchange.options.max_json_bytes
    try:
        return await exchange.inbound.whole(limit)
    except BodyTooLargeError:
        raise ApiError(413, f"The request body is too large: {limit} bytes are allowed.") from None
