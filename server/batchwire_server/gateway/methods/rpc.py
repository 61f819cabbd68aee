"""The protocol's methods as they can be called over a channel."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.datastructures import Headers

from batchwire_server.gateway.options import GatewayOptions

# The channel's factory for a method, by (client streaming, server streaming).
_FACTORIES = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
}

# Where clients that do not use Authorization put their key; Azure's is the first.
_KEY_HEADERS = ("api-key", "x-api-key")

# What gRPC lets a metadata value hold. A key with anything else in it is nobody's.
_PRINTABLE = re.compile(r"[ -~]+")

# gRPC refuses calls with much more, as if it lacked room. What is longer is cut: no key and no tenant's name is near it, so it stays wrong.
_MAX_VALUE = 2048


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method as it can be called."""

    method: MethodDescriptor
    request: type[Message]
    start: Callable[..., Any]

    @classmethod
    def over(cls, channel: grpc.aio.Channel, method: MethodDescriptor) -> Rpc:
        """The method over a channel."""
        factory = getattr(channel, _FACTORIES[method.client_streaming, method.server_streaming])
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        start = factory(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return cls(method, request, start)


def call_metadata(headers: Headers, request_id: str, peer: str, options: GatewayOptions) -> tuple[tuple[str, str], ...]:
    """What travels with every RPC: the request's id, the caller's credentials as a bearer token wherever they came, and what a gateway in front says.

    The latter goes with the address at the other end of the connection; what headers say of addresses counts for nothing.
    """
    given = [headers.get("authorization", ""), *(f"Bearer {headers[name]}" for name in _KEY_HEADERS if name in headers)]
    credentials = next((each for each in given if each[:7].lower() == "bearer "), given[0])
    named: tuple[tuple[str, str], ...] = (("x-request-id", request_id), ("authorization", credentials))
    if options.tenant_header:
        said = tuple((options.tenant_header, value) for value in headers.getlist(options.tenant_header))
        named += (*said, ("batchwire-peer", peer), ("batchwire-gateway", options.token))
    return tuple((name, value[:_MAX_VALUE]) for name, value in named if _PRINTABLE.fullmatch(value))
