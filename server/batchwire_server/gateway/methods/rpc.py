"""The protocol's methods over a channel, and the metadata that every RPC carries."""

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

REQUEST_ID_KEY = "x-request-id"
CREDENTIALS_KEY = "authorization"
PEER_KEY = "batchwire-peer"
GATEWAY_TOKEN_KEY = "batchwire-gateway"  # noqa: S105 - the name of a metadata key, not a secret

# Names of the channel's factory methods, by (client streaming, server streaming).
_FACTORIES = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
}

# Headers with the key of clients that do not use Authorization. Azure's clients use the first.
_KEY_HEADERS = ("api-key", "x-api-key")

# What gRPC allows in a metadata value. No valid key has other characters.
_PRINTABLE = re.compile(r"[ -~]+")

# gRPC refuses calls with much more metadata as RESOURCE_EXHAUSTED. Longer values are cut: no valid
# key or tenant name is that long, so the api still refuses them.
_MAX_VALUE_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method of the protocol, ready to be called over a channel."""

    method: MethodDescriptor
    request: type[Message]
    start: Callable[..., Any]

    @classmethod
    def over(cls, channel: grpc.aio.Channel, method: MethodDescriptor) -> Rpc:
        """Return a method over a channel."""
        factory = getattr(channel, _FACTORIES[method.client_streaming, method.server_streaming])
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        start = factory(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return cls(method, request, start)


def call_metadata(headers: Headers, request_id: str, peer: str, options: GatewayOptions) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an RPC: the request's id, the credentials, and the trusted header.

    Credentials travel as a bearer token, regardless of the header that had them. The trusted header
    travels with the address of the connection's other end. Headers that state an address, such as
    X-Forwarded-For, are ignored.

    Args:
        headers: the headers of the HTTP request.
        request_id: id of the HTTP request.
        peer: address of the connection's other end, or "".
        options: have the name of the trusted header and the gateway's token.
    """
    given = [headers.get("authorization", ""), *(f"Bearer {headers[name]}" for name in _KEY_HEADERS if name in headers)]
    credentials = next((each for each in given if each[:7].lower() == "bearer "), given[0])
    metadata: tuple[tuple[str, str], ...] = ((REQUEST_ID_KEY, request_id), (CREDENTIALS_KEY, credentials))
    if options.tenant_header:
        tenants = tuple((options.tenant_header, value) for value in headers.getlist(options.tenant_header))
        metadata += (*tenants, (PEER_KEY, peer), (GATEWAY_TOKEN_KEY, options.token))
    return tuple((key, value[:_MAX_VALUE_BYTES]) for key, value in metadata if _PRINTABLE.fullmatch(value))
