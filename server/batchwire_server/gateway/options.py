"""What the gateway lets its operator choose."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Limits of the gateway itself; what the api limits is the api's business."""

    max_json_bytes: int = 1024 * 1024
    """Size of the largest JSON body, in bytes. Content travels in forms, which have no limit here."""

    max_drain_bytes: int = 64 * 1024 * 1024
    """How much of a refused upload is still read, in bytes, so that a caller that sends first and reads later sees the answer."""

    tenant_header: str = ""
    """Header that is passed on, with the address that it came from, for the api to believe or not."""

    token: str = ""
    """What proves to an api in the same process that it is this gateway which passes it on."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Where the metrics are kept that `/metrics` shows; a process with metrics of its own gives its registry."""
