"""Processes killed for real: the batch goes on by itself, and every line is in the output once."""

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
    """Start a batch on the mock model; return its id."""
    file = client.files.upload(chat_file(count, MODEL), filename="in.jsonl")
    return client.batches.create(file.id).id


def check_result(server: Server, client: Client, batch_id: str, count: int = LINES) -> None:
    """Wait for a batch, and checks that each of its lines is in the output once, in order."""
    client.batches.wait(batch_id, timeout=90)
    ended = check_ended(server.url, batch_id, chat_file(count, MODEL))
    assert ended.batch["status"] == "completed"
    assert len(ended.output) == count


def test_a_batch_survives_its_worker_being_killed_twice(
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
            wait_until(lambda victim=victim: [p.pid for p in server.workers()] not in ([], [victim.pid]))  # type: ignore[misc]
        check_result(server, client, batch_id)
    # A kill has a line asked again that was in flight, or had finished within a flush interval: once per kill, and no more.
    assert max(Counter(upstream.calls).values()) <= 3


def test_a_batch_survives_the_whole_server_being_killed(
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
        check_result(server, client, batch_id)


def test_two_workers_share_a_batch_and_one_may_die(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = start("--upstream", upstream.base_url, "--workers", "2")
    wait_until(lambda: len(server.workers()) == 2)
    with Client(server.grpc) as client:
        batch_id = create(client, 4000)
        wait_until(lambda: len(upstream.calls) > 1000)
        server.workers()[0].kill()
        check_result(server, client, batch_id, 4000)


def test_a_server_that_is_told_to_end_hands_over_and_the_next_one_goes_on(
    tmp_path: Path, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    server = Server(tmp_path, "--upstream", upstream.base_url).start()
    with Client(server.grpc) as client:
        batch_id = create(client)
    wait_until(lambda: len(upstream.calls) > 500)
    assert server.stop() == 0
    with server, Client(server.grpc) as client:
        check_result(server, client, batch_id)
    assert len(upstream.calls) == LINES, "a clean end must not cost a call"
