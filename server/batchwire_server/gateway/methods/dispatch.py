"""Select the handler of a method by its kind, and handle unary methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.call import Call
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.methods.uploads import upload
from batchwire_server.gateway.web.request_body import BodyTooLargeError
from batchwire_server.gateway.web.responses import JsonResponse

Handler: TypeAlias = Callable[[Call], Awaitable[ASGIApp]]


def handler_for(method: MethodDescriptor) -> Handler:
    """Return the handler of a method.

    Raises:
        TypeError: the method streams in both directions, which REST cannot express.
    """
    match method.client_streaming, method.server_streaming:
        case False, False:
            return unary
        case True, False:
            return upload
        case False, True:
            return _stream_handler(method)
    raise TypeError(f"{method.full_name} streams in both directions, which REST cannot express: give it no route")


async def unary(call: Call) -> ASGIApp:
    """Handle a method with one request and one reply: JSON or a query in, JSON out."""
    takes_body = call.route.takes_body
    body = await _json_body(call) if takes_body else b""
    request = call.request(query=not takes_body, body=body)
    reply = await call.request_body.while_connected(call.start(request))
    return JsonResponse(call.render(reply))


async def _json_body(call: Call) -> bytes:
    limit = call.options.max_json_bytes
    try:
        return await call.request_body.read(limit)
    except BodyTooLargeError:
        raise ApiError(413, f"The request body is too large: {limit} bytes are allowed.") from None


def _stream_handler(method: MethodDescriptor) -> Handler:
    """Return the handler of a server-streaming method, which depends on its reply.

    Bytes in a oneof follow a description: a download. Bytes alone are lines. A reply without bytes
    is a resource that changes: events.
    """
    content = [field for field in method.output_type.fields if field.type == FieldDescriptor.TYPE_BYTES]
    if not content:
        return events
    return lines if content[0].containing_oneof is None else download
