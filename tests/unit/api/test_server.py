"""The gRPC server: all services are registered, and health follows the components."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.api.interceptor import CallInterceptor
from batchwire_server.api.server import RpcServer
from batchwire_server.core.health import Component
from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.gateway.routes import services
from batchwire_server.roles.adapters import open_adapters
from batchwire_server.roles.api import build_servicers
from batchwire_server.service.api_keys import ApiKeyAuthenticator
from batchwire_server.service.health import HealthChecks
from batchwire_server.service.watches import Watches
from batchwire_server.settings import Settings
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse.ServingStatus


class Installation:
    """A running server whose components fail at will."""

    def __init__(self) -> None:
        self.down: set[Component] = set()
        self.address = ""

    def health_checks(self) -> HealthChecks:
        async def probe(component: Component) -> None:
            if component in self.down:
                raise ConnectionError(component)

        return HealthChecks({each: partial(probe, each) for each in Component}, interval=0.005)

    async def until_health(self, service: str, status: str) -> None:
        """Wait until a service of gRPC health has a status."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            async for reply in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
                if Status.Name(reply.status) == status:
                    return


@pytest_asyncio.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    made, settings = Installation(), Settings(data_dir=tmp_path, upstream=("echo",))
    async with open_adapters(settings, Migrations.ALL) as adapters:
        watches = Watches(adapters.store, adapters.changes)
        interceptor = CallInterceptor(ApiKeyAuthenticator(adapters.store, open_without_keys=True), TrustedHeader())
        server = RpcServer(build_servicers(settings, adapters, watches), interceptor, made.health_checks())
        made.address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        yield made
        await server.stop(0)
        await watches.close()


async def test_every_service_of_the_protocol_is_served(installation: Installation) -> None:
    async with asyncio.timeout(30):
        for service in services():
            await installation.until_health(service.full_name, "SERVING")


@pytest.mark.parametrize("component", [Component.DATABASE, Component.BLOBS])
async def test_services_follow_the_components_that_they_need(installation: Installation, component: Component) -> None:
    async with asyncio.timeout(30):
        installation.down.add(component)
        for name in (component, "", "batchwire.v1.BatchService"):
            await installation.until_health(name, "NOT_SERVING")
        installation.down.clear()
        for name in (component, "", "batchwire.v1.BatchService"):
            await installation.until_health(name, "SERVING")


@pytest.mark.parametrize("component", [Component.UPSTREAMS, Component.WORKERS])
async def test_other_components_are_reported_alone(installation: Installation, component: Component) -> None:
    async with asyncio.timeout(30):
        installation.down.add(component)
        await installation.until_health(component, "NOT_SERVING")
        await installation.until_health("", "SERVING")
