"""The gateway's options."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Limits of the gateway itself, and what it passes on. The api has limits of its own."""

    max_json_bytes: int = 1024 * 1024
    """Size of the largest JSON body, in bytes. Files travel in forms, which have no limit here."""

    max_drain_bytes: int = 64 * 1024 * 1024
    """How many bytes of a refused upload are still read and dropped.

    A caller that sends everything before it reads then sees the reply.
    """

    tenant_header: str = ""
    """Header that the gateway passes on with the address that sent it; the api may trust it."""

    token: str = ""
    """Secret by which an api in the same process recognizes this gateway."""

    api: str = ""
    """Address of the api, for the log."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Prometheus registry of the gateway's metrics."""
