"""The rate at which results are merged into files."""

from __future__ import annotations

from batchwire_client import Client

from bench.harness import Harness, wait_completed
from bench.rows.throughput import HUGE
from bench.table import Measurement, at_least, row


def finalizing(harness: Harness, lines: int, base_url: str) -> Measurement:
    """Run lines. Return the output bytes per second between `finalizing_at` and `completed_at`."""
    rates = []
    with harness.server(base_url, environment=HUGE) as server, Client(server.grpc) as client:
        file = client.files.upload(harness.lines(lines))
        for _ in range(1 if harness.full else harness.rounds):
            batch = wait_completed(client, client.batches.create(file.id).id)
            taken = batch.completed_at.ToMilliseconds() - batch.finalizing_at.ToMilliseconds()
            rates.append(client.files.get(batch.output_file_id).bytes / taken / 1000)
    return Measurement(rates, "MB/s")


@row("finalizing 50,000 results of 4 KiB", at_least(200, "MB/s"))
def long_results(harness: Harness) -> Measurement:
    """Finalize 200 MB of output. Needs nginx for the long responses."""
    return finalizing(harness, 50_000, harness.zero_latency.replace("/v1", "/long"))


@row("finalizing 1,000,000 results", at_least(200, "MB/s"), full=True)
def many_results(harness: Harness) -> Measurement:
    """Finalize about 400 MB of output."""
    return finalizing(harness, 1_000_000, harness.zero_latency)
