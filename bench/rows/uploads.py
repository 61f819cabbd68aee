"""Upload rate."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

from bench.baselines import send_grpc
from bench.harness import MIB, Harness
from bench.table import Measurement, at_least, row


@row("upload of 200 MiB over gRPC / a bare gRPC server with fsync", at_least(0.8))
def over_grpc(harness: Harness) -> Measurement:
    """Compare with a server that only writes, on grpc.aio too."""
    path, server = harness.large, harness.warm_server
    sent = path.stat().st_size
    ours, baseline = [], []
    for _ in range(harness.rounds):
        baseline.append(sent / MIB / asyncio.run(send_grpc(harness.baseline_servers[0], path, sent)))
        ours.append(sent / MIB / asyncio.run(send_grpc(server.grpc, path, sent)))
    return Measurement(ours, "MiB/s", baseline)


@row("upload of 200 MiB over REST / a bare multipart server with fsync", at_least(0.5))
def over_rest(harness: Harness) -> Measurement:
    """Compare with a server that only writes. The gateway forwards uploads to the api over gRPC."""
    path, server = harness.large, harness.warm_server
    size = path.stat().st_size / MIB
    ours, baseline = [], []
    for _ in range(harness.rounds):
        baseline.append(size / send_form(f"http://{harness.baseline_servers[1]}", path))
        ours.append(size / send_form(server.url, path))
    return Measurement(ours, "MiB/s", baseline)


def send_form(base_url: str, path: Path) -> float:
    """Upload a file as a form with curl. Return the duration in seconds."""
    started = time.perf_counter()
    command = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull]
    form = ["--form", "purpose=batch", "--form", f"file=@{path};filename=in.jsonl"]
    subprocess.run([*command, *form, f"{base_url}/v1/files"], check=True)
    return time.perf_counter() - started
