"""Measures Batchwire beside bare baselines, in one run: `python -m bench [--lines N] [--rounds N] [--json FILE]`.

Ratios are what counts: 1.0 means as fast as the same client or the same sink with no service around it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from batchwire import v1
from batchwire_client import AsyncClient, Client
from rich.console import Console
from rich.table import Table

from bench.baselines import bare_loop, send_grpc
from bench.memory import PeakMemory
from bench.upstream import Answer, MockUpstream, completion
from tests.support.served import Served

MIB = 1024 * 1024
LARGE_LINES = 49_000
LARGE_LINE_BYTES = 200 * MIB // LARGE_LINES


def chat_lines(path: Path, count: int, size: int, model: str) -> None:
    """Writes a file of chat requests of about `size` bytes each."""
    with path.open("w") as file:
        for number in range(count):
            body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": f"line-{number}"}]}
            line = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            padding = size - len(json.dumps(line)) - 1
            if padding > 0:
                body["messages"].insert(0, {"role": "system", "content": "x" * max(1, padding - 40)})
            file.write(json.dumps(line) + "\n")


@contextmanager
def child(*module: str) -> Iterator[list[str]]:
    """Runs a module until the context ends; yields the words of its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextmanager
def zero_latency_upstream(folder: Path) -> Iterator[tuple[str, str]]:
    """Runs nginx as an upstream that answers at once, or the mock where there is no nginx; yields its base URL and name."""
    if shutil.which("nginx") is None:
        with child("bench.upstream") as words:
            yield f"http://127.0.0.1:{words[0]}/v1", "the Python mock (no nginx here)"
        return
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    models = {"object": "list", "data": [{"id": "mock", "object": "model", "created": 1, "owned_by": "mock"}]}
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/nginx-body; client_max_body_size 64m;
  server {{ listen 127.0.0.1:{port}; default_type application/json;
    location /v1/models {{ return 200 '{json.dumps(models)}'; }}
    location / {{ return 200 '{json.dumps(answer)}'; }} }} }}"""
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    try:
        url = f"http://127.0.0.1:{port}/v1"
        wait_for(f"{url}/models")
        yield url, "nginx"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Returns a port that nobody listens at just now."""
    import socket  # noqa: PLC0415 - one line's need

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(url: str) -> None:
    """Waits until a URL answers."""
    for _ in range(500):
        try:
            requests.get(url, timeout=1)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    sys.exit(f"{url} does not answer")


def run_batch(server: Served, path: Path) -> float:
    """Runs a file; returns the seconds from create to completed."""
    with Client(server.grpc) as client:
        file = client.files.upload(path)
        started = time.perf_counter()
        batch = client.batches.create(file.id)
        *_, snapshot = client.batches.watch(batch.id)
        assert snapshot.status == v1.BATCH_STATUS_COMPLETED, snapshot
        assert not snapshot.request_counts.failed, snapshot
    return time.perf_counter() - started


async def first_calls(folder: Path, path: Path, rounds: int) -> list[float]:
    """Returns, for some batches of one line, the milliseconds from CreateBatch's answer to the call at the upstream."""
    arrived = 0.0

    async def note(request: dict[str, Any]) -> Answer:
        nonlocal arrived
        arrived = time.perf_counter()
        return Answer(body=completion(request))

    delays = []
    async with MockUpstream(behaviour=note) as upstream:
        server = await asyncio.to_thread(Served(folder, "--upstream", upstream.base_url).start)
        async with AsyncClient(server.grpc) as client:
            file = await client.files.upload(path)
            await client.batches.wait((await client.batches.create(file.id)).id)  # by then the worker has started
            for _ in range(rounds):
                batch = await client.batches.create(file.id)
                created = time.perf_counter()
                await client.batches.wait(batch.id)
                delays.append((arrived - created) * 1000)
        await asyncio.to_thread(server.stop)
    return delays


def upload_rest(base_url: str, path: Path) -> float:
    """Uploads a file as a form with curl; returns the seconds that it took."""
    started = time.perf_counter()
    command = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull]
    form = ["--form", "purpose=batch", "--form", f"file=@{path};filename=in.jsonl"]
    subprocess.run([*command, *form, f"{base_url}/v1/files"], check=True)
    return time.perf_counter() - started


def measure(lines: int, rounds: int) -> dict[str, Any]:
    """Measures all rows; returns them by name, each a ratio with the medians behind it."""
    rows: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batchwire-bench-")))
        url, name = stack.enter_context(zero_latency_upstream(folder))
        sink_grpc, sink_http = stack.enter_context(child("bench.sinks"))
        server = stack.enter_context(Served(folder / "served", "--upstream", url))
        small, large, one = folder / "small.jsonl", folder / "large.jsonl", folder / "one.jsonl"
        chat_lines(small, lines, 0, "mock")
        chat_lines(large, LARGE_LINES, LARGE_LINE_BYTES, "mock")
        chat_lines(one, 1, 0, "mock")
        asyncio.run(bare_loop(one, url))
        run_batch(server, one)

        bare = [asyncio.run(bare_loop(small, url)) for _ in range(rounds)]
        ours = [lines / run_batch(server, small) for _ in range(rounds)]
        rows[f"{lines} lines, create to completed, durable (SQLite), upstream {name}"] = row(ours, bare, "lines/s")

        sent = large.stat().st_size
        size = sent / MIB
        sink = [size / asyncio.run(send_grpc(sink_grpc, large, sent)) for _ in range(rounds)]
        ours = [size / asyncio.run(send_grpc(server.grpc, large, sent)) for _ in range(rounds)]
        rows[f"upload of {size:.0f} MiB over gRPC"] = row(ours, sink, "MiB/s")
        sink = [size / upload_rest(f"http://{sink_http}", large) for _ in range(rounds)]
        ours = [size / upload_rest(server.url, large) for _ in range(rounds)]
        rows[f"upload of {size:.0f} MiB over REST"] = row(ours, sink, "MiB/s")

        alone = [1 / asyncio.run(bare_loop(one, url)) * 1000 for _ in range(rounds * 5)]
        batches = [run_batch(server, one) * 1000 for _ in range(rounds * 5)]
        rows["one line, create to completed over gRPC"] = row(batches, alone, "ms")
        delays = asyncio.run(first_calls(folder / "latency", one, rounds * 5))
        rows["CreateBatch to the first upstream call"] = {
            "ours": f"{statistics.median(delays):,.0f} ms",
            "baseline": f"at most {max(delays):,.0f} ms",
            "ratio": None,
        }
    rows.update(memory())
    return rows


def memory() -> dict[str, Any]:
    """Runs 200 MiB through a server of its own; returns how much each role's resident size grew at most."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batchwire-bench-")))
        url, _ = stack.enter_context(zero_latency_upstream(folder))
        large, one = folder / "large.jsonl", folder / "one.jsonl"
        chat_lines(large, LARGE_LINES, LARGE_LINE_BYTES, "mock")
        chat_lines(one, 1, 0, "mock")
        server = stack.enter_context(Served(folder / "served", "--upstream", url))
        run_batch(server, one)
        upload_rest(server.url, one)
        processes = {"api and gateway": server.process.pid, "worker": server.workers()[0].pid}
        with PeakMemory(processes) as peak:
            upload_rest(server.url, large)
            run_batch(server, large)
            with Client(server.grpc) as client:
                newest = next(iter(client.batches.list()))
                for _ in client.files.download(newest.output_file_id):
                    pass
            requests.get(f"{server.url}/v1/files/{newest.output_file_id}/content", timeout=60).close()
    return {
        f"resident size of {role}, 200 MiB uploaded twice, run, downloaded twice": {
            "ours": f"{grown / MIB:.0f} MiB more",
            "baseline": f"{start / MIB:.0f} MiB at rest",
            "ratio": None,
        }
        for role, (start, grown) in peak.growth().items()
    }


def row(ours: list[float], baseline: list[float], unit: str) -> dict[str, Any]:
    """Returns a row: medians, and their ratio."""
    mine, theirs = statistics.median(ours), statistics.median(baseline)
    return {"ours": f"{mine:,.0f} {unit}", "baseline": f"{theirs:,.0f} {unit}", "ratio": round(mine / theirs, 2)}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.lines, arguments.rounds)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}"
    table = Table(title=f"Medians of {arguments.rounds} rounds, {machine}")
    for heading in ("what", "Batchwire", "baseline", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, values in rows.items():
        table.add_row(
            what, values["ours"], values["baseline"], "" if values["ratio"] is None else f"{values['ratio']:.2f}"
        )
    Console(width=150).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
