"""Whose call it is."""

from __future__ import annotations

from typing import Any

from grpc import aio

DEFAULT_TENANT = "default"


def tenant_of(_context: aio.ServicerContext[Any, Any]) -> str:
    """Returns the tenant that a call acts for: in open mode, all act for one."""
    return DEFAULT_TENANT
