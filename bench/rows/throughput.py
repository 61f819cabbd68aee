"""Lines per second from create to completed."""

from __future__ import annotations

import asyncio
import time

from openai import AsyncOpenAI

from bench.baselines import bare_loop
from bench.harness import MODEL, Harness, run_batch
from bench.table import Measurement, at_least, row

LINES = 50_000
SCRIPT_LINES = 1000
SCRIPT_CONCURRENCY = 64


def beside_the_bare_loop(harness: Harness, lines: int) -> Measurement:
    """Measure a batch and the bare loop in turn."""
    path, server = harness.lines(lines), harness.warm_server
    ours, bare = [], []
    for _ in range(harness.rounds):
        bare.append(asyncio.run(bare_loop(path, harness.zero_latency)))
        ours.append(lines / run_batch(server, path))
    return Measurement(ours, "lines/s", bare, f"the upstream is {harness.zero_latency_name}")


@row("throughput of 50,000 small lines / the bare loop", at_least(0.8), postgresql=at_least(0.7))
def small_lines(harness: Harness) -> Measurement:
    """Compare with the bare loop: it reads, posts with the same client and appends to a file."""
    return beside_the_bare_loop(harness, LINES)


@row("throughput of 50,000 small lines / the openai SDK with a semaphore", at_least(2))
def sdk_script(harness: Harness) -> Measurement:
    """Compare with the script that a user would write, with fewer lines since it is slow."""
    path, server = harness.lines(LINES), harness.warm_server
    ours, script = [], []
    for _ in range(harness.rounds):
        script.append(SCRIPT_LINES / asyncio.run(_script(harness.zero_latency)))
        ours.append(LINES / run_batch(server, path))
    return Measurement(ours, "lines/s", script, f"{SCRIPT_LINES} lines for the script")


async def _script(base_url: str) -> float:
    async with AsyncOpenAI(base_url=base_url, api_key="any") as client:
        slots = asyncio.Semaphore(SCRIPT_CONCURRENCY)

        async def ask(number: int) -> None:
            async with slots:
                content = f"line-{number}"
                await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])

        started = time.perf_counter()
        await asyncio.gather(*map(ask, range(SCRIPT_LINES)))
        return time.perf_counter() - started


@row("throughput of 1,000,000 small lines / the bare loop", at_least(0.8), postgresql=at_least(0.7), full=True)
def million_lines(harness: Harness) -> Measurement:
    """Run a batch twenty times as large as OpenAI's limit."""
    lines = 1_000_000
    path = harness.lines(lines)
    with harness.server(harness.zero_latency, environment=HUGE) as server:
        bare = asyncio.run(bare_loop(path, harness.zero_latency))
        return Measurement([lines / run_batch(server, path)], "lines/s", [bare])


HUGE = {"BATCHWIRE_LIMITS__MAX_LINES": "1000000", "BATCHWIRE_LIMITS__MAX_FILE_BYTES": str(1 << 31)}
"""Limits for a million lines."""
