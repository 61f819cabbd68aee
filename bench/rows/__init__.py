"""The rows of the table, by subject, in the order of the table."""

from __future__ import annotations

from bench.rows import fairness, finalizing, lanes, latency, memory, throughput, uploads, validation, watching  # noqa: F401 - importing them registers their rows, in this order
