"""The charts of the plot: throughput by concurrency, resident size by input size."""

from __future__ import annotations

import asyncio

from bench.baselines import bare_loop
from bench.harness import LARGE_LINE_BYTES, MIB, Harness, run_batch
from bench.plot import Chart
from bench.rows.memory import peaks

CONCURRENCIES = (1, 4, 16, 64, 256)
LINES = 20_000
SIZES_MIB = (10, 50, 100, 200)


def concurrency(harness: Harness) -> Chart:
    """Measure throughput by the number of concurrent calls, for Batchwire and the bare loop."""
    path = harness.lines(LINES)
    chart = Chart("throughput by concurrency", "concurrent calls", "lines/s", logarithmic=True)
    for calls in CONCURRENCIES:
        with harness.server({"base_url": harness.zero_latency, "max_concurrency": calls}) as server:
            run_batch(server, harness.lines(1))
            chart.add("Batchwire", calls, LINES / run_batch(server, path))
        chart.add("bare loop", calls, asyncio.run(bare_loop(path, harness.zero_latency, calls)))
    return chart


def memory(harness: Harness) -> Chart:
    """Measure the resident size of each role for growing input files."""
    chart = Chart("resident size by input size", "MiB of input, lines of 4 KiB", "MB")
    for size in SIZES_MIB:
        for role, megabytes in peaks(harness, size * MIB // LARGE_LINE_BYTES, LARGE_LINE_BYTES).items():
            chart.add(role, size, megabytes)
    return chart
