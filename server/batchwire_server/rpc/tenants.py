"""Whose call it is."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from grpc import aio

_tenant: ContextVar[str] = ContextVar("tenant")


def key_of(context: aio.ServicerContext[Any, Any]) -> str:
    """Returns the API key that a call brings, as a bearer or in one of the two headers that gateways use; empty when it brings none."""
    metadata = dict(context.invocation_metadata() or ())
    scheme, _, credentials = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return str(metadata.get("api-key") or metadata.get("x-api-key") or "")


def act_for(tenant: str) -> None:
    """Says, within a call, whom it acts for."""
    _tenant.set(tenant)


def tenant_of(_context: aio.ServicerContext[Any, Any]) -> str:
    """Returns the tenant that a call acts for. No call gets here without one: the interceptor has seen to it."""
    return _tenant.get()
