"""Latency of small batches and of reads."""

from __future__ import annotations

import asyncio
import statistics
import time

from batchwire_client import Client

from bench.baselines import bare_loop
from bench.harness import Harness, run_batch
from bench.table import Measurement, at_most, row

REPEATS = 5


@row("one line, create to completed over gRPC", at_most(100, "ms"), postgresql=at_most(100, "ms"))
def one_line(harness: Harness) -> Measurement:
    """Compare with the bare loop over the same line."""
    path, server = harness.lines(1), harness.warm_server
    ours = [run_batch(server, path) * 1000 for _ in range(harness.rounds * REPEATS)]
    bare = [1000 / asyncio.run(bare_loop(path, harness.zero_latency)) for _ in ours]
    return Measurement(ours, "ms", bare)


@row("p99 of GetBatch while a batch runs at full speed", at_most(50, "ms"), postgresql=at_most(50, "ms"))
def get_batch(harness: Harness) -> Measurement:
    """Read fifty times a second. The baseline is an idle server."""
    path, server = harness.lines(50_000), harness.warm_server
    busy, idle = [], []
    with Client(server.grpc) as client:
        file = client.files.upload(path)
        for _ in range(harness.rounds):
            batch = client.batches.create(file.id)
            busy.append(_p99(_times(client, batch.id)))
            idle.append(_p99(_times(client, batch.id, 100)))
    return Measurement(busy, "ms", idle)


def _times(client: Client, batch_id: str, count: int | None = None) -> list[float]:
    """Read a batch `count` times, or until it has ended. Return the milliseconds of each call."""
    times: list[float] = []
    while count is None or len(times) < count:
        started = time.perf_counter()
        batch = client.batches.get(batch_id)
        times.append((time.perf_counter() - started) * 1000)
        if count is None and batch.HasField("completed_at"):
            break
        time.sleep(0.02)
    return times


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
