"""A server on PostgreSQL: killed workers, closed connections, and roles that start together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batchwire_client import Client

from bench.upstream import MODEL, MockUpstream
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.postgresql import new_database, run_apart, running_postgresql
from tests.support.roles import RoleProcess
from tests.support.server import Server, wait_until

LINES = 3000
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with running_postgresql() as url:
        yield url


@pytest.fixture
def database(postgresql: str) -> str:
    """An empty database."""
    return new_database(postgresql).replace("postgresql+asyncpg://", "postgresql://")


def test_a_batch_survives_a_killed_worker_and_cut_connections(
    tmp_path: Path, database: str, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    options = ("--database", database, "--upstream", upstream.base_url, "--workers", "2")
    with Server(tmp_path, *options) as server, Client(server.grpc) as client:
        wait_until(lambda: len(server.workers()) == 2)
        file = client.files.upload(chat_file(LINES, MODEL), filename="in.jsonl")
        batch = client.batches.create(file.id)
        wait_until(lambda: len(upstream.calls) > 300)
        server.workers()[0].kill()
        wait_until(lambda: len(upstream.calls) > 1200)
        asyncio.run(run_apart(database.replace("postgresql://", "postgresql+asyncpg://"), CUT))

        def ended() -> bool:
            return client.batches.get(batch.id).HasField("completed_at")

        wait_until(ended)
        check_ended(server.url, batch.id, chat_file(LINES, MODEL))
    # A kill repeats the calls of lines in flight, and of lines finished since the last flush.
    assert max(Counter(upstream.calls).values()) <= 3


def test_roles_that_start_together_migrate_once_and_share_the_work(tmp_path: Path, database: str) -> None:
    data = ("--data-dir", str(tmp_path), "--database", database, "--upstream", "echo", "--migrate")
    api = RoleProcess("api", *data, "--grpc-listen", "127.0.0.1:0")
    workers = [RoleProcess("worker", *data) for _ in range(2)]
    with Client(api.addresses()["grpc"]) as client:
        file = client.files.upload(chat_file(LINES), filename="in.jsonl")
        batch = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        assert batch.request_counts.completed == LINES
    for process in (api, *workers):
        process.stop()
