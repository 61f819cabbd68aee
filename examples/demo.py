"""Run `requests.jsonl` on a server with default settings, and print results: `make demo`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP, SIGTERM, signal
from typing import Any

from rich.console import Console

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
FIRST = 3
LOG_LINES = 20
POLL_S = 0.5
STOP_TIMEOUT_S = 60
LOOPBACK = {"no_proxy": "127.0.0.1"}
console = Console()


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: for messages.
        addresses: by protocol, as in its `ready` line.
    """

    name: str
    process: subprocess.Popen[str]
    log: Path
    addresses: dict[str, str]


def tail(log: Path) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


@contextmanager
def running(name: str, command: list[str], log: Path, **environment: str) -> Iterator[Server]:
    """Run a server until the block ends. Wait for its line `ready NAME=ADDRESS …`."""
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **LOOPBACK, **environment},
            process_group=0,  # Ctrl-C reaches only the demo, which stops its servers in order
        ) as process,
    ):
        assert process.stdout
        try:
            ready = process.stdout.readline().split()
            if ready[:1] != ["ready"]:
                sys.exit(f"{name} did not start:\n{tail(log)}")
            yield Server(name, process, log, dict(word.split("=", 1) for word in ready[1:]))
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def server_command(folder: Path, *options: str) -> list[str]:
    """Return the command of a Batchwire server with a data folder and free ports."""
    ports = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    return [str(BIN / "batchwire-server"), "serve", "--data-dir", str(folder), *ports, *options]


def run(servers: list[Server], requests: Path, output: Path, *options: str) -> tuple[int, str, float]:
    """Run a file of requests with `batchwire run`.

    Returns its exit code, its output if an option is `--json`, and the duration in seconds. Exits
    the program if a server ends meanwhile.

    Args:
        servers: the Batchwire server, followed by other servers that must keep running.
        requests: the input file.
        output: path of the output file.
        options: options of `batchwire`.
    """
    target = servers[0].addresses["grpc"]
    command = [str(BIN / "batchwire"), *options, "--target", target, "run", str(requests), "--output", str(output)]
    started = time.monotonic()
    stdout = subprocess.PIPE if "--json" in options else None
    with subprocess.Popen(command, stdout=stdout, text=True, env={**os.environ, **LOOPBACK}) as client:
        try:
            while True:
                try:
                    printed, _ = client.communicate(timeout=POLL_S)
                    return client.returncode, printed or "", time.monotonic() - started
                except subprocess.TimeoutExpired:
                    for server in servers:
                        if server.process.poll() is not None:
                            sys.exit(f"{server.name} ended during the run:\n{tail(server.log)}")
        finally:
            client.kill()


def read(output: Path) -> list[dict[str, Any]]:
    """Return the lines of an output file."""
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def show(lines: list[dict[str, Any]], first: int = FIRST) -> None:
    """Print the first responses."""
    console.print(f"\nThe first {min(first, len(lines))} of {len(lines)} lines of the output, in input order:")
    for line in lines[:first]:
        answer = line["response"]["body"]["choices"][0]["message"]["content"].strip()
        console.print(f"  {line['custom_id']}: {answer}", highlight=False, markup=False, soft_wrap=True)


def exit_on_signals() -> None:
    """Exit on SIGTERM and SIGHUP as on Ctrl-C, so that the servers are stopped."""
    for number in (SIGTERM, SIGHUP):
        signal(number, lambda number, _frame: sys.exit(128 + number))


def main() -> int:
    """Run the demo. Return the exit code."""
    exit_on_signals()
    with tempfile.TemporaryDirectory(prefix="batchwire-demo-") as name:
        folder = Path(name)
        output = folder / "output.jsonl"
        with running("the Batchwire server", server_command(folder), folder / "server.log") as server:
            addresses = server.addresses
            console.print(
                f"A server with the built-in echo model: gRPC {addresses['grpc']}, REST http://{addresses['http']}/v1\n",
                soft_wrap=True,
            )
            status, _, seconds = run([server], HERE / "requests.jsonl", output)
        if status == 0:
            lines = read(output)
            show(lines)
            tokens = sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)
            console.print(
                f"\n{len(lines)} lines completed, {tokens} tokens used, {seconds:.1f} s from upload to download."
            )
        return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
