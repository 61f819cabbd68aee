"""Fixtures of the end-to-end tests: servers, clients and upstreams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from batchwire_client import Client
from openai import OpenAI

from bench.upstream import MockUpstream
from tests.support.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with default settings: SQLite, local blobs, one worker, the echo model.

    Shared by all modules, so tests must not stop it, and must expect files and batches of others.
    """
    with Server(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def openai(server: Server) -> Iterator[OpenAI]:
    """The official SDK with another base URL and strict validation of responses."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", _strict_response_validation=True) as client:
        yield client


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """The Batchwire client."""
    with Client(server.grpc) as own:
        yield own


@contextmanager
def running(upstream: MockUpstream) -> Iterator[MockUpstream]:
    """Run an upstream on an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result()
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(_end(upstream), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(upstream: MockUpstream) -> None:
    await upstream.__aexit__(None, None, None)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a server, which is stopped at the end of the test."""
    with ExitStack() as stack:

        def start_server(*options: str, **environment: str) -> Server:
            return stack.enter_context(Server(tmp_path, *options, environment=environment))

        yield start_server


@pytest.fixture
def upstream_of() -> Iterator[Callable[[MockUpstream], MockUpstream]]:
    """A function that runs an upstream until the end of the test."""
    with ExitStack() as stack:
        yield lambda upstream: stack.enter_context(running(upstream))
