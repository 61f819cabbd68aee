"""How large processes get."""

from __future__ import annotations

import requests
from batchwire_client import Client

from bench.memory import PeakMemory
from bench.rows.throughput import HUGE
from bench.rows.uploads import send_form
from bench.scene import LARGE_LINE_BYTES, LARGE_LINES, MIB, Scene, ended
from bench.table import Measured, at_most, row


def peaks(scene: Scene, lines: int, size: int) -> dict[str, float]:
    """Takes a file through all that a server does with it; returns the largest resident size of each role, in MB."""
    path = scene.lines(lines, size)
    with scene.server(scene.zero_latency, environment=HUGE) as server, Client(server.grpc) as client:
        ended(client, client.batches.create(client.files.upload(scene.lines(1)).id).id)  # by then the worker is there
        processes = {"api and gateway": server.process.pid, "worker": server.workers()[0].pid}
        with PeakMemory(processes) as peak:
            send_form(server.url, path)
            batch = ended(client, client.batches.create(client.files.upload(path).id).id)
            for _ in client.files.download(batch.output_file_id):
                pass
            content = f"{server.url}/v1/files/{batch.output_file_id}/content"
            with requests.get(content, timeout=600, stream=True) as answer:
                for _ in answer.iter_content(MIB):
                    pass
        return {role: size / 1e6 for role, size in peak.peaks().items()}


def largest(found: dict[str, float]) -> Measured:
    """Returns the row of the larger of the roles."""
    return Measured(
        [max(found.values())], "MB", note=", ".join(f"{role} {size:.0f} MB" for role, size in found.items())
    )


@row("resident size of the largest role, 50,000 lines of 4 KiB", at_most(150, "MB"))
def many_bytes(scene: Scene) -> Measured:
    """Uploaded over both faces, run, downloaded over both."""
    return largest(peaks(scene, LARGE_LINES, LARGE_LINE_BYTES))


@row("resident size of the largest role, 1,000,000 lines", at_most(250, "MB"), full=True)
def many_lines(scene: Scene) -> Measured:
    """The same with a million small lines."""
    return largest(peaks(scene, 1_000_000, 0))
