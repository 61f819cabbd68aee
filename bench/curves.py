"""What the plot shows: lines per second against calls at once, resident size against the size of the input."""

from __future__ import annotations

import asyncio

from bench.baselines import bare_loop
from bench.plot import Chart
from bench.rows.memory import peaks
from bench.scene import LARGE_LINE_BYTES, MIB, Scene, run_batch

AT_ONCE = (1, 4, 16, 64, 256)
LINES = 20_000
SIZES_MIB = (10, 50, 100, 200)


def concurrency(scene: Scene) -> Chart:
    """Runs the same lines with ever more calls at once, beside the bare loop."""
    path = scene.lines(LINES)
    chart = Chart("lines/s by calls at once", "calls at once", "lines/s", logarithmic=True)
    for at_once in AT_ONCE:
        with scene.server({"base_url": scene.zero_latency, "max_concurrency": at_once}) as server:
            run_batch(server, scene.lines(1))
            chart.add("Batchwire", at_once, LINES / run_batch(server, path))
        chart.add("bare loop", at_once, asyncio.run(bare_loop(path, scene.zero_latency, at_once)))
    return chart


def memory(scene: Scene) -> Chart:
    """Takes ever larger files through all that a server does."""
    chart = Chart("resident size by size of the input", "MiB of input, lines of 4 KiB", "MB")
    for size in SIZES_MIB:
        for role, megabytes in peaks(scene, size * MIB // LARGE_LINE_BYTES, LARGE_LINE_BYTES).items():
            chart.add(role, size, megabytes)
    return chart
