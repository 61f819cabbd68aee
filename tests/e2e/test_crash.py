"""Killed processes: the batch goes on, and each line is in the output once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from batchwire_client import Client

from bench.upstream import MODEL, MockUpstream
from tests.e2e.conftest import Start
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

LINES = 2000


def create(client: Client, count: int = LINES) -> str:
    """Create a batch on the mock model. Return its id."""
    file = client.files.upload(chat_file(count, MODEL), filename="in.jsonl")
    return client.batches.create(file.id).id


def check_output(server: Server, client: Client, batch_id: str, count: int = LINES) -> None:
    """Wait for a batch and check that each line is in the output once, in order."""
    client.batches.wait(batch_id, timeout=90)
    ended = check_ended(server.url, batch_id, chat_file(count, MODEL))
    assert ended.batch["status"] == "completed"
    assert len(ended.output) == count


def test_a_batch_survives_two_kills_of_its_worker(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = start("--upstream", upstream.base_url)
    with Client(server.grpc) as client:
        batch_id = create(client)
        for calls in (300, 900):
            wait_until(lambda calls=calls: len(upstream.calls) > calls)  # type: ignore[misc]  # a lambda's default
            (victim,) = server.workers()
            victim.kill()
            wait_until(lambda victim=victim: [p.pid for p in server.workers()] not in ([], [victim.pid]))  # type: ignore[misc]  # a lambda's default
        check_output(server, client, batch_id)
    # Per kill, a line is called again at most once: if it was in flight, or finished since the last
    # flush.
    assert max(Counter(upstream.calls).values()) <= 3


def test_a_batch_survives_a_kill_of_the_whole_server(
    tmp_path: Path, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = Server(tmp_path, "--upstream", upstream.base_url).start()
    with Client(server.grpc) as client:
        batch_id = create(client)
    wait_until(lambda: len(upstream.calls) > 500)
    workers = server.workers()
    server.kill()
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    with server, Client(server.grpc) as client:
        check_output(server, client, batch_id)


def test_two_workers_share_a_batch_and_one_is_killed(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = start("--upstream", upstream.base_url, "--workers", "2")
    wait_until(lambda: len(server.workers()) == 2)
    with Client(server.grpc) as client:
        batch_id = create(client, 4000)
        wait_until(lambda: len(upstream.calls) > 1000)
        server.workers()[0].kill()
        check_output(server, client, batch_id, 4000)


def test_a_restarted_server_continues_the_batch_of_a_stopped_one(
    tmp_path: Path, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = Server(tmp_path, "--upstream", upstream.base_url).start()
    with Client(server.grpc) as client:
        batch_id = create(client)
    wait_until(lambda: len(upstream.calls) > 500)
    assert server.stop() == 0
    with server, Client(server.grpc) as client:
        check_output(server, client, batch_id)
    assert len(upstream.calls) == LINES, "a clean end must not cost a call"
