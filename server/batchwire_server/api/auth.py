"""Whose call it is."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

from grpc import aio

from batchwire_server.core.trusted_header import TrustedHeader

_tenant: ContextVar[str] = ContextVar("tenant")


def key_of(context: aio.ServicerContext[Any, Any]) -> str:
    """Returns the API key that a call brings, as a bearer or in one of the two headers that gateways use; empty when it brings none."""
    metadata = dict(context.invocation_metadata() or ())
    scheme, _, credentials = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return str(metadata.get("api-key") or metadata.get("x-api-key") or "")


def address_of(peer: str) -> str:
    """Returns the IP address in gRPC's name of a peer, such as `ipv4:10.0.0.1:5000` or `ipv6:%5B::1%5D:5000`; empty when it has none."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


def trusted_tenant(context: aio.ServicerContext[Any, Any], trusted_header: TrustedHeader) -> str | None:
    """Returns the tenant that a call says it acts for, if it is to be believed. Raises BatchwireError."""
    metadata = [(key, str(value)) for key, value in context.invocation_metadata() or ()]
    return trusted_header.tenant(address_of(context.peer()), metadata)


def act_for(tenant: str) -> None:
    """Says, within a call, whom it acts for."""
    _tenant.set(tenant)


def tenant_of(_context: aio.ServicerContext[Any, Any]) -> str:
    """Returns the tenant that a call acts for. No call gets here without one: the interceptor has seen to it."""
    return _tenant.get()
