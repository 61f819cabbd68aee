"""The effect of one tenant's batch on another tenant."""

from __future__ import annotations

import subprocess
import sys
import threading

from batchwire_client import Client

from bench.harness import MODEL, Harness, run_batch
from bench.table import Measurement, at_most, row
from tests.support.server import Server


def key(server: Server, tenant: str) -> str:
    """Create an API key of a tenant and return it."""
    command = [sys.executable, "-m", "batchwire_server", "keys", "create", "--data-dir", str(server.data_dir)]
    return subprocess.run([*command, "--tenant", tenant], capture_output=True, text=True, check=True).stdout.strip()


@row("latency of 100 lines of one tenant beside 50,000 of another / alone", at_most(3))
def beside_another(harness: Harness) -> Measurement:
    """Run both on one model of one upstream, at 20 ms per call."""
    small, huge = harness.lines(100), harness.lines(50_000)
    with harness.mock("--model", f"{MODEL}=constant:0.02") as mock, harness.server(mock.base_url) as server:
        red, blue = key(server, "red"), key(server, "blue")
        run_batch(server, small, red)
        alone = [run_batch(server, small, red) for _ in range(harness.rounds)]
        with Client(server.grpc, api_key=blue) as client:
            batch = client.batches.create(client.files.upload(huge).id)
            threading.Event().wait(1)  # until its lines fill all slots
            beside = [run_batch(server, small, red) for _ in range(harness.rounds)]
            seen = client.batches.get(batch.id)
            assert not seen.HasField("completed_at"), "the huge batch ended before the small ones"
            client.batches.cancel(batch.id)
    return Measurement([seconds * 1000 for seconds in beside], "ms", [seconds * 1000 for seconds in alone])
