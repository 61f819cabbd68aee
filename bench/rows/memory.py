"""Resident size of the processes."""

from __future__ import annotations

import requests
from batchwire_client import Client

from bench.harness import LARGE_LINE_BYTES, LARGE_LINES, MIB, Harness, wait_completed
from bench.memory import PeakMemory
from bench.rows.throughput import HUGE
from bench.rows.uploads import send_form
from bench.table import Measurement, at_most, row


def peaks(harness: Harness, lines: int, size: int) -> dict[str, float]:
    """Upload, run and download a file. Return the largest resident size of each role, in MB."""
    path = harness.lines(lines, size)
    with harness.server(harness.zero_latency, environment=HUGE) as server, Client(server.grpc) as client:
        wait_completed(
            client, client.batches.create(client.files.upload(harness.lines(1)).id).id
        )  # afterwards the worker runs
        processes = {"api and gateway": server.process.pid, "worker": server.workers()[0].pid}
        with PeakMemory(processes) as peak:
            send_form(server.url, path)
            batch = wait_completed(client, client.batches.create(client.files.upload(path).id).id)
            for _ in client.files.download(batch.output_file_id):
                pass
            content = f"{server.url}/v1/files/{batch.output_file_id}/content"
            with requests.get(content, timeout=600, stream=True) as answer:
                for _ in answer.iter_content(MIB):
                    pass
        return {role: size / 1e6 for role, size in peak.peaks().items()}


def largest(found: dict[str, float]) -> Measurement:
    """Return the measurement of the largest role."""
    return Measurement(
        [max(found.values())], "MB", note=", ".join(f"{role} {size:.0f} MB" for role, size in found.items())
    )


@row("resident size of the largest role, 50,000 lines of 4 KiB", at_most(150, "MB"))
def many_bytes(harness: Harness) -> Measurement:
    """Upload over gRPC and REST, run, and download over both."""
    return largest(peaks(harness, LARGE_LINES, LARGE_LINE_BYTES))


@row("resident size of the largest role, 1,000,000 lines", at_most(250, "MB"), full=True)
def many_lines(harness: Harness) -> Measurement:
    """Do the same with a million small lines."""
    return largest(peaks(harness, 1_000_000, 0))
