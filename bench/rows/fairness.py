"""What one tenant's work costs another."""

from __future__ import annotations

import subprocess
import sys
import threading

from batchwire_client import Client

from bench.scene import MODEL, Scene, run_batch
from bench.table import Measured, at_most, row
from tests.support.served import Served


def key(server: Served, tenant: str) -> str:
    """Makes a key for a tenant."""
    command = [sys.executable, "-m", "batchwire_server", "keys", "create", "--data-dir", str(server.data_dir)]
    return subprocess.run([*command, "--tenant", tenant], capture_output=True, text=True, check=True).stdout.strip()


@row("100 lines of a tenant beside another's 50,000 / alone", at_most(3))
def beside_another(scene: Scene) -> Measured:
    """All on one model of one upstream, 20 ms a call."""
    small, huge = scene.lines(100), scene.lines(50_000)
    with scene.mock("--model", f"{MODEL}=constant:0.02") as mock, scene.server(mock.base_url) as server:
        red, blue = key(server, "red"), key(server, "blue")
        run_batch(server, small, red)
        alone = [run_batch(server, small, red) for _ in range(scene.rounds)]
        with Client(server.grpc, api_key=blue) as client:
            batch = client.batches.create(client.files.upload(huge).id)
            threading.Event().wait(1)  # until its lines have filled all slots
            beside = [run_batch(server, small, red) for _ in range(scene.rounds)]
            seen = client.batches.get(batch.id)
            assert not seen.HasField("completed_at"), "the huge batch was over before the small ones"
            client.batches.cancel(batch.id)
    return Measured([seconds * 1000 for seconds in beside], "ms", [seconds * 1000 for seconds in alone])
