"""What the gateway lets its operator choose."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Limits of the gateway itself; what the api limits is the api's business."""

    max_json_bytes: int = 1024 * 1024
    """Size of the largest JSON body, in bytes. Content travels in forms, which have no limit here."""

    max_drain_bytes: int = 64 * 1024 * 1024
    """How much of a refused upload is still read, in bytes, so that a caller that sends first and reads later sees the answer."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Where the metrics are kept that `/metrics` shows; a process with metrics of its own gives its registry."""
