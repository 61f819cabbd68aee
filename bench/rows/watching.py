"""Delay and cost of WatchBatch streams."""

from __future__ import annotations

import asyncio
import statistics
import time

import grpc
from batchwire import v1
from batchwire_client import Client

from bench.harness import Harness, run_batch
from bench.rows.throughput import HUGE
from bench.table import Measurement, at_least, at_most, row
from tests.support.server import Server

STREAMS = 1000
CHANNELS = 8
LINES = 50_000


def watched(server: Server, file_id: str) -> tuple[float, list[float]]:
    """Run a batch with 1,000 streams.

    Return its seconds, and each delay from commit to delivery in ms.
    """
    with Client(server.grpc) as client:
        return asyncio.run(_watched(server.grpc, client, file_id))


async def _watched(target: str, client: Client, file_id: str) -> tuple[float, list[float]]:
    delays: list[float] = []
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(CHANNELS)]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    stubs = [v1.BatchServiceStub(channel) for channel in channels]
    started = time.perf_counter()
    batch = await asyncio.to_thread(client.batches.create, file_id)

    async def watch(number: int) -> None:
        request = v1.WatchBatchRequest(batch_id=batch.id)
        running = False
        async for seen in stubs[number % CHANNELS].WatchBatch(request):
            now = time.time() * 1000
            if seen.status == v1.BATCH_STATUS_COMPLETED:
                delays.append(now - seen.completed_at.ToMilliseconds())
            elif seen.status == v1.BATCH_STATUS_FINALIZING and running:
                delays.append(now - seen.finalizing_at.ToMilliseconds())
                running = False
            running = seen.status == v1.BATCH_STATUS_IN_PROGRESS

    await asyncio.gather(*map(watch, range(STREAMS)))
    seconds = time.perf_counter() - started
    await asyncio.gather(*(channel.close() for channel in channels))
    return seconds, delays


@row("p99 from commit to delivery, 1,000 WatchBatch streams", at_most(250, "ms"), postgresql=at_most(250, "ms"))
def delivery(harness: Harness) -> Measurement:
    """Compare the timestamps of the last two changes with the arrival of their snapshots."""
    server, path = harness.warm_server, harness.lines(LINES)
    with Client(server.grpc) as client:
        file = client.files.upload(path)
    p99 = [statistics.quantiles(watched(server, file.id)[1], n=100)[98] for _ in range(harness.rounds)]
    return Measurement(p99, "ms")


@row("throughput of 200,000 lines with 1,000 streams / without", at_least(0.9), postgresql=at_least(0.9))
def cost(harness: Harness) -> Measurement:
    """Include the clients, which run on the same machine, and the opening of the streams."""
    path = harness.lines(4 * LINES)
    with harness.server(harness.zero_latency, environment=HUGE) as server, Client(server.grpc) as client:
        run_batch(server, harness.lines(1))
        file = client.files.upload(path)
        without, with_streams = [], []
        for _ in range(harness.rounds):
            without.append(4 * LINES / run_batch(server, path))
            with_streams.append(4 * LINES / watched(server, file.id)[0])
    return Measurement(with_streams, "lines/s", without)
