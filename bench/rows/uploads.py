"""How fast files come in."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

from bench.baselines import send_grpc
from bench.scene import MIB, Scene
from bench.table import Measured, at_least, row


@row("upload of 200 MiB over gRPC / a bare sink with fsync", at_least(0.8))
def over_grpc(scene: Scene) -> Measured:
    """The sink is grpc.aio too."""
    path, server = scene.large, scene.standing
    sent = path.stat().st_size
    ours, sink = [], []
    for _ in range(scene.rounds):
        sink.append(sent / MIB / asyncio.run(send_grpc(scene.sinks[0], path, sent)))
        ours.append(sent / MIB / asyncio.run(send_grpc(server.grpc, path, sent)))
    return Measured(ours, "MiB/s", sink)


@row("upload of 200 MiB over REST / a bare multipart sink with fsync", at_least(0.5))
def over_rest(scene: Scene) -> Measured:
    """The gateway hands it on to the api over gRPC."""
    path, server = scene.large, scene.standing
    size = path.stat().st_size / MIB
    ours, sink = [], []
    for _ in range(scene.rounds):
        sink.append(size / send_form(f"http://{scene.sinks[1]}", path))
        ours.append(size / send_form(server.url, path))
    return Measured(ours, "MiB/s", sink)


def send_form(base_url: str, path: Path) -> float:
    """Uploads a file as a form with curl; returns the seconds that it took."""
    started = time.perf_counter()
    command = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull]
    form = ["--form", "purpose=batch", "--form", f"file=@{path};filename=in.jsonl"]
    subprocess.run([*command, *form, f"{base_url}/v1/files"], check=True)
    return time.perf_counter() - started
