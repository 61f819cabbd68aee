from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from batchwire_client import AsyncClient, Backoff, Client, RetryPolicy
from batchwire_client._cli.main import program
from click.testing import CliRunner, Result

from tests.unit.client.blocking import Blocking
from tests.unit.client.cli import LINES, Batchwire
from tests.unit.client.fake_server import FakeServer

FAST_RETRIES = RetryPolicy(calls=Backoff(first=0.01, tries=3), streams=Backoff(first=0.01, tries=4), silence=30)


@pytest.fixture(autouse=True, scope="session")
def _default_sigint() -> None:
    # A shell that runs tests in the background makes them ignore SIGINT, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCHWIRE_TARGET", "BATCHWIRE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """Return a function that makes blocking or asyncio clients, with short pauses by default."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner()) if request.param == "async" else None

        def make(target: str, *, api_key: str | None = None, retry_policy: RetryPolicy = FAST_RETRIES) -> Client:
            if runner is None:
                return stack.enter_context(Client(target, api_key=api_key, retry_policy=retry_policy))

            async def make_async() -> AsyncClient:
                return AsyncClient(target, api_key=api_key, retry_policy=retry_policy)

            client = runner.run(make_async())
            stack.callback(lambda: runner.run(client.close()))
            return cast("Client", Blocking(client, runner))

        yield make


@pytest.fixture
def client(connect: Callable[..., Client], server: FakeServer) -> Client:
    """Return a blocking client, or an asyncio client that blocks, of the server."""
    return connect(server.target)


@pytest.fixture
def batchwire(server: FakeServer) -> Batchwire:
    """Return a function that runs the command against the server, in this process."""

    def run(*args: object) -> Result:
        return CliRunner().invoke(program, ["--target", server.target, *map(str, args)])

    return run


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(LINES)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"
