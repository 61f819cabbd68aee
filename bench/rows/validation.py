"""Validation rate."""

from __future__ import annotations

from batchwire_client import Client

from bench.harness import Harness
from bench.table import Measurement, at_least, row


@row("validation of 200 MiB in 50,000 lines", at_least(300, "MB/s"))
def large(harness: Harness) -> Measurement:
    """Measure from `created_at` to `in_progress_at`."""
    path, server = harness.large, harness.warm_server
    rates = []
    with Client(server.grpc) as client:
        file = client.files.upload(path)
        for _ in range(harness.rounds):
            batch = client.batches.create(file.id)
            for seen in client.batches.watch(batch.id):
                if seen.HasField("in_progress_at"):
                    client.batches.cancel(batch.id)
                    break
            client.batches.wait(batch.id)
            taken = seen.in_progress_at.ToMilliseconds() - seen.created_at.ToMilliseconds()
            rates.append(file.bytes / taken / 1000)
    return Measurement(rates, "MB/s")
