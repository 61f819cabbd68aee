"""What the plot shows: lines per second against calls at once, resident size against the size of the input."""

from __future__ import annotations

import asyncio

from bench.baselines import bare_loop
from bench.harness import LARGE_LINE_BYTES, MIB, Harness, run_batch
from bench.plot import Chart
from bench.rows.memory import peaks

AT_ONCE = (1, 4, 16, 64, 256)
LINES = 20_000
SIZES_MIB = (10, 50, 100, 200)


def concurrency(harness: Harness) -> Chart:
    """Run the same lines with ever more calls at once, beside the bare loop."""
    path = harness.lines(LINES)
    chart = Chart("lines/s by calls at once", "calls at once", "lines/s", logarithmic=True)
    for at_once in AT_ONCE:
        with harness.server({"base_url": harness.zero_latency, "max_concurrency": at_once}) as server:
            run_batch(server, harness.lines(1))
            chart.add("Batchwire", at_once, LINES / run_batch(server, path))
        chart.add("bare loop", at_once, asyncio.run(bare_loop(path, harness.zero_latency, at_once)))
    return chart


def memory(harness: Harness) -> Chart:
    """Take ever larger files through all that a server does."""
    chart = Chart("resident size by size of the input", "MiB of input, lines of 4 KiB", "MB")
    for size in SIZES_MIB:
        for role, megabytes in peaks(harness, size * MIB // LARGE_LINE_BYTES, LARGE_LINE_BYTES).items():
            chart.add(role, size, megabytes)
    return chart
