"""The tenant of a call: credentials in the metadata, and the tenant that they yield."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

from grpc import aio

from batchwire_server.core.trusted_header import TrustedHeader

KEY_HEADERS = ("api-key", "x-api-key")
"""Metadata keys that clients of other APIs use for an API key."""

Context = aio.ServicerContext[Any, Any]
"""The context of a call, of whatever request and response."""

_tenant: ContextVar[str] = ContextVar("tenant")


def key_of(context: Context) -> str:
    """Return the API key of a call, or an empty string.

    It is the bearer token in `authorization`, or else the value of the first of `KEY_HEADERS`.
    """
    metadata = dict(context.invocation_metadata() or ())
    scheme, _, credentials = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return str(next(filter(None, map(metadata.get, KEY_HEADERS)), ""))


def address_of(peer: str) -> str:
    """Return the IP address of a gRPC peer, or an empty string if it has none.

    Peers are written `ipv4:10.0.0.1:5000` or `ipv6:%5B::1%5D:5000`.
    """
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


def trusted_tenant(context: Context, trusted_header: TrustedHeader) -> str | None:
    """Return the tenant that a trusted peer names in the header, or None if there is none.

    Raises BatchwireError if the header is trusted and does not name one tenant.
    """
    metadata = [(key, str(value)) for key, value in context.invocation_metadata() or ()]
    return trusted_header.tenant(address_of(context.peer()), metadata)


def act_for(tenant: str) -> None:
    """Set the tenant of the current call."""
    _tenant.set(tenant)


def tenant_of(_context: Context) -> str:
    """Return the tenant of the current call. The interceptor has set it before the handler runs."""
    return _tenant.get()
