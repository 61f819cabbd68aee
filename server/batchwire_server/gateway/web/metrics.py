"""The gateway's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

# The last bucket is an hour, because watches and result streams last as long as a batch.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)

# HTTP allows any token as a method. Only these become labels, so callers cannot fill the registry.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one gateway, in one registry.

    The label `route` is the route's template, or "unmatched" for URLs without a route.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "batchwire_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "batchwire_http_request_seconds",
            "Time from a request's first byte to its reply's last.",
            ("route", "method"),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.uploaded = Counter("batchwire_http_upload_bytes_total", "Content received in forms.", registry=registry)

    def record(self, route: str, method: str, status: int, seconds: float) -> None:
        """Record one request. Status 499 means that the caller left before the reply."""
        label = method if method in _METHODS else "other"
        self._requests.labels(route, label, str(status)).inc()
        self._seconds.labels(route, label).observe(seconds)
