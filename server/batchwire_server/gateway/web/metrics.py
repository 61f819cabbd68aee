"""What the gateway counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

# Watches and result streams last as long as a batch, so the last bucket is an hour.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)

# Any token may stand for a method; only these become labels, lest a caller fill the registry.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one gateway, in one registry. A route is its template; "unmatched" is a URL that has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "batchwire_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "batchwire_http_request_seconds",
            "Time from a request's first byte to its reply's last.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.uploaded = Counter("batchwire_http_upload_bytes_total", "Content received in forms.", registry=registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request. Status 499 is a caller who left before the answer."""
        label = method if method in _METHODS else "other"
        self._requests.labels(route, label, str(status)).inc()
        self._seconds.labels(route, label).observe(seconds)
