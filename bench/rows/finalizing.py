"""How fast results become files."""

from __future__ import annotations

from batchwire_client import Client

from bench.rows.throughput import HUGE
from bench.scene import Scene, ended
from bench.table import Measured, at_least, row


def finalizing(scene: Scene, lines: int, base_url: str) -> Measured:
    """Runs lines; returns the bytes of the output per second between finalizing and completed, by the server's own times."""
    rates = []
    with scene.server(base_url, environment=HUGE) as server, Client(server.grpc) as client:
        file = client.files.upload(scene.lines(lines))
        for _ in range(1 if scene.full else scene.rounds):
            batch = ended(client, client.batches.create(file.id).id)
            taken = batch.completed_at.ToMilliseconds() - batch.finalizing_at.ToMilliseconds()
            rates.append(client.files.get(batch.output_file_id).bytes / taken / 1000)
    return Measured(rates, "MB/s")


@row("finalizing 50,000 results of 4 KiB", at_least(200, "MB/s"))
def long_results(scene: Scene) -> Measured:
    """200 MB of output, where there is nginx to give long answers."""
    return finalizing(scene, 50_000, scene.zero_latency.replace("/v1", "/long"))


@row("finalizing 1,000,000 results", at_least(200, "MB/s"), full=True)
def many_results(scene: Scene) -> Measured:
    """Some 400 MB of output."""
    return finalizing(scene, 1_000_000, scene.zero_latency)
