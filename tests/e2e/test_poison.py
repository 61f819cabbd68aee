"""A line that kills its worker (a poison pill): it gets an error, and the batch completes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
from batchwire_client import Client

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.e2e.conftest import Start
from tests.support.lines import chat_file, chat_line, check_invariants, ids_of, jsonl

LINES = 40


def workers_at(port: int) -> list[psutil.Process]:
    """Return the worker processes with a connection to a local port."""
    ends = psutil.net_connections("tcp4")
    pids = {end.pid for end in ends if end.raddr and end.raddr.port == port and end.pid not in (None, os.getpid())}
    return [process for process in map(psutil.Process, filter(None, pids)) if "worker" in process.cmdline()]


def test_a_line_that_kills_its_worker_gets_an_error_and_the_others_complete(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    kills = 0

    async def deadly(request: dict[str, Any]) -> Answer:
        nonlocal kills
        if request["messages"][-1]["content"] == "poison":
            kills += 1
            for caller in workers_at(upstream.port):
                caller.kill()
            return Answer(drop=True)
        return Answer(body=completion(request))

    upstream = upstream_of(MockUpstream(behaviour=deadly))
    server = start("--upstream", upstream.base_url)
    lines = [chat_line(f"line-{number}", f"line-{number}", MODEL) for number in range(LINES)]
    lines[LINES // 2] = chat_line("culprit", "poison", MODEL)
    with Client(server.grpc) as client:
        batch_id = client.batches.create(client.files.upload(jsonl(lines), filename="in.jsonl").id).id
        batch = client.batches.wait(batch_id, timeout=90)
        assert batch.output_file_id, batch
        output = b"".join(client.files.download(batch.output_file_id))
        errors = b"".join(client.files.download(batch.error_file_id))
        check_invariants(LINES, batch.request_counts.completed, batch.request_counts.failed, output, errors)
        assert ids_of(errors) == ["culprit"]
        error = json.loads(errors)["error"]
        assert error["code"] == "server_error"
        assert "crashed" in error["message"]
        assert kills == 5  # three with other lines, two in quarantine
        assert max(Counter(upstream.calls).values()) <= 5
        # The workers still run batches.
        other = client.batches.create(client.files.upload(chat_file(10, MODEL), filename="more.jsonl").id)
        assert client.batches.wait(other.id, timeout=60).request_counts.completed == 10
