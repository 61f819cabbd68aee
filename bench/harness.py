"""What benchmark rows use: input files, upstreams, servers and baselines, shared where possible."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from batchwire import v1
from batchwire_client import Client

from bench import nginx
from bench.table import POSTGRESQL
from tests.support.postgresql import new_database, running_postgresql
from tests.support.server import Server

MIB = 1024 * 1024
MODEL = "mock"
LARGE_LINES = 50_000
LARGE_LINE_BYTES = 200 * MIB // LARGE_LINES


def write_chat_lines(path: Path, count: int, size: int, model: Callable[[int], str]) -> None:
    """Write `count` chat requests of about `size` bytes each."""
    with path.open("w") as file:
        for number in range(count):
            body: dict[str, Any] = {"model": model(number), "messages": [{"role": "user", "content": f"line-{number}"}]}
            line = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            padding = size - len(json.dumps(line)) - 41
            if padding > 0:
                body["messages"].insert(0, {"role": "system", "content": "x" * padding})
            file.write(json.dumps(line) + "\n")


@contextmanager
def running_module(*module: str) -> Iterator[list[str]]:
    """Run a module until the context ends. Yield the words of its first line of output."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the log of a mock upstream. Times are of the monotonic clock, in seconds."""

    arrived: float
    answered: float
    status: int
    model: str
    line: str


class MockProcess:
    """A mock upstream in a process of its own, with a log of calls."""

    def __init__(self, base_url: str, log: Path) -> None:
        self.base_url = base_url
        self._log = log

    def calls(self) -> list[Call]:
        """Return all calls so far, in the order of their responses."""
        with self._log.open() as file:
            return [Call(*json.loads(line)) for line in file]


class Harness:
    """Files, upstreams and servers of the benchmark rows.

    Args:
        folder: for all files.
        database: the database of the servers, SQLITE or POSTGRESQL.
        rounds: number of measurements per row.
        full: whether this is `make bench-full`; the longest rows then have one round.
    """

    def __init__(self, folder: Path, database: str, rounds: int, *, full: bool) -> None:
        self.folder = folder
        self.rounds = rounds
        self.full = full
        self._database = database
        self._stack = ExitStack()

    def close(self) -> None:
        """Stop everything that was started."""
        self._stack.close()

    @cached_property
    def _zero(self) -> tuple[str, str]:
        if nginx.is_installed():
            return self._stack.enter_context(nginx.running(self._new_folder("nginx"), MODEL)), "nginx"
        words = self._stack.enter_context(running_module("bench.upstream"))
        return f"http://127.0.0.1:{words[0]}/v1", "the mock in Python, since nginx is not installed"

    @property
    def zero_latency(self) -> str:
        """The base URL of an upstream without latency."""
        return self._zero[0]

    @property
    def zero_latency_name(self) -> str:
        """The name of the upstream without latency."""
        return self._zero[1]

    @cached_property
    def baseline_servers(self) -> tuple[str, str]:
        """The addresses of the bare upload servers: gRPC, HTTP."""
        grpc, http = self._stack.enter_context(
            running_module("bench.baseline_servers", str(self._new_folder("uploads")))
        )
        return grpc, http

    @cached_property
    def _postgresql(self) -> str:
        return self._stack.enter_context(running_postgresql(fsync=True))

    @contextmanager
    def mock(self, *options: str) -> Iterator[MockProcess]:
        """Run a mock upstream with options of `python -m bench.upstream`."""
        log = self._new_folder("mock") / "calls"
        with running_module("bench.upstream", "--log", str(log), *options) as words:
            yield MockProcess(f"http://127.0.0.1:{words[0]}/v1", log)

    @contextmanager
    def server(
        self, *upstreams: dict[str, Any] | str, environment: dict[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> Iterator[Server]:
        """Run a server with some upstreams, given as base URLs or as settings."""
        settings = [{"base_url": upstream} if isinstance(upstream, str) else upstream for upstream in upstreams]
        more = {"BATCHWIRE_UPSTREAMS": json.dumps(settings), **(environment or {})}
        if self._database == POSTGRESQL:
            more["BATCHWIRE_DATABASE"] = new_database(self._postgresql).replace("+asyncpg", "")
        with Server(self._new_folder("server"), *options, environment=more) as server:
            yield server

    @cached_property
    def warm_server(self) -> Server:
        """A server with the upstream without latency, which has run a batch already."""
        server = self._stack.enter_context(self.server(self.zero_latency))
        run_batch(server, self.lines(1))
        return server

    def lines(self, count: int, size: int = 0, model: Callable[[int], str] = lambda _: MODEL, name: str = "") -> Path:
        """Return a file of chat requests. A file with other models needs a `name` of its own."""
        path = self.folder / f"{count}-{size}{name}.jsonl"
        if not path.exists():
            write_chat_lines(path, count, size, model)
        return path

    @property
    def large(self) -> Path:
        """A file of 200 MiB in 50,000 lines."""
        return self.lines(LARGE_LINES, LARGE_LINE_BYTES)

    def _new_folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def wait_completed(client: Client, batch_id: str) -> v1.Batch:
    """Wait until a batch has ended. Asserts that it completed without failed lines."""
    *_, snapshot = client.batches.watch(batch_id)
    assert snapshot.status == v1.BATCH_STATUS_COMPLETED, snapshot
    assert not snapshot.request_counts.failed, snapshot
    return snapshot


def run_batch(server: Server, path: Path, api_key: str | None = None) -> float:
    """Run a file as a batch. Return the seconds from create to completed."""
    with Client(server.grpc, api_key=api_key) as client:
        file = client.files.upload(path)
        started = time.perf_counter()
        wait_completed(client, client.batches.create(file.id).id)
        return time.perf_counter() - started
