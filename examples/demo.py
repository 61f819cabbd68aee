"""Starts a server on embedded defaults, runs `requests.jsonl` through the client, shows what came back, and ends the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
FIRST = 3
console = Console()


def serve(folder: Path) -> tuple[subprocess.Popen[str], str, str]:
    """Starts a server in a folder; returns its process, and its two addresses."""
    ports = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    command = [str(BIN / "batchwire-server"), "serve", "--data-dir", str(folder), *ports]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout
    ready = server.stdout.readline().split()
    if ready[:1] != ["ready"]:
        server.wait()
        sys.exit(f"the server did not start:\n{(folder / 'server.log').read_text()}")
    addresses = dict(word.split("=", 1) for word in ready[1:])
    return server, addresses["grpc"], addresses["http"]


def show(output: Path, seconds: float) -> None:
    """Prints the first results, and a summary."""
    lines = [json.loads(line) for line in output.read_bytes().splitlines()]
    console.print(f"\nThe first {FIRST} of {len(lines)} lines of the output, in the order of the input:")
    for line in lines[:FIRST]:
        answer = line["response"]["body"]["choices"][0]["message"]["content"]
        console.print(f"  {line['custom_id']}: {answer}", highlight=False, markup=False)
    tokens = sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)
    console.print(f"\n{len(lines)} lines answered, {tokens} tokens used, {seconds:.1f} s from upload to download.")


def main() -> int:
    """Runs the demo; returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="batchwire-demo-"))
    output = folder / "output.jsonl"
    server, grpc_address, http_address = serve(folder)
    try:
        console.print(
            f"A server with the built-in echo model: gRPC {grpc_address}, REST http://{http_address}/v1\n",
            soft_wrap=True,
        )
        command = [str(BIN / "batchwire"), "--target", grpc_address, "run"]
        started = time.monotonic()
        status = subprocess.run(
            [*command, str(HERE / "requests.jsonl"), "--output", str(output)], check=False
        ).returncode
        if status == 0:
            show(output, time.monotonic() - started)
        return status
    finally:
        server.terminate()
        server.wait(timeout=60)
        assert server.stdout
        server.stdout.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
