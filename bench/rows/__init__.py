"""The rows of the table, by subject, in the order of the table."""

from bench.rows import throughput, lanes, latency, fairness, uploads, validation, finalizing, watching, memory  # noqa: F401, I001 - importing them is what adds their rows
