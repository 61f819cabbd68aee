"""Which handler answers for a method: its shape decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from starlette.types import ASGIApp

from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.methods.unary import unary
from batchwire_server.gateway.methods.uploads import upload

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
