"""The gateway with a real HTTP server in front and a real gRPC server behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
import uvicorn
from batchwire_server.gateway.app import create_app
from batchwire_server.gateway.options import GatewayOptions
from grpc_health.v1 import health, health_pb2_grpc

from tests.unit.gateway.fake_api import FakeApi


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # signals are pytest's
        yield


@dataclass
class RunningGateway:
    """A running gateway, its HTTP client, and the fake api behind it."""

    api: FakeApi
    health: Any
    url: str
    port: int
    http: httpx.AsyncClient
    grpc_server: grpc.aio.Server


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for a condition, until the test's timeout."""
    while not condition():  # noqa: ASYNC110 - the condition may be anything
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def run_gateway(options: GatewayOptions) -> AsyncIterator[RunningGateway]:
    api, checks = FakeApi(), health.aio.HealthServicer()
    server = grpc.aio.server()
    api.serve(server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}")
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        create_app(channel, options), http="httptools", ws="none", lifespan="off", log_level="error", access_log=False
    )
    front = _Uvicorn(config)
    serving = asyncio.create_task(front.serve(sockets=[listening]))
    await eventually(lambda: front.started)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        yield RunningGateway(api, checks, f"http://127.0.0.1:{port}", port, http, server)
    front.should_exit = front.force_exit = True
    await serving
    await channel.close()
    await server.stop(None)


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    async with run_gateway(GatewayOptions()) as running:
        yield running


@pytest_asyncio.fixture
async def small_gateway() -> AsyncIterator[RunningGateway]:
    """Run a gateway with small limits."""
    async with run_gateway(GatewayOptions(max_json_bytes=1000, max_drain_bytes=100_000)) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
