"""The gRPC server: services, health and reflection, from start to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from batchwire import v1
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from batchwire_server.api.interceptor import CallInterceptor
from batchwire_server.core.health import Component
from batchwire_server.service.health import HealthChecks

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A client that watches an unchanging batch may send a keepalive ping every ten seconds.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
)

_STATUS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}

NEEDED = frozenset({Component.DATABASE, Component.BLOBS})
"""The components without which RPCs fail. Without the others, batches wait."""


class RpcServer:
    """The gRPC server of the role api, with health and reflection.

    Args:
        servicers: the servicer of each service of the protocol, by the service's name.
        interceptor: wraps all RPCs of these services.
        health_checks: what it reports through gRPC health.
    """

    def __init__(
        self, servicers: Mapping[str, object], interceptor: CallInterceptor, health_checks: HealthChecks
    ) -> None:
        self._server = aio.server(interceptors=[interceptor], options=OPTIONS)
        self._health = health.aio.HealthServicer()
        self._health_checks = health_checks
        self._down: set[Component] = set()
        self._services = [f"batchwire.v1.{name}" for name in servicers]
        for name, servicer in servicers.items():
            getattr(v1, f"add_{name}Servicer_to_server")(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str) -> int:
        """Listen at HOST:PORT, and return the port. The system chooses it if the address says 0."""
        port = self._server.add_insecure_port(address)
        await self._server.start()
        for service in ("", *self._services, *self._health_checks.components):
            await self._health.set(service, _STATUS[True])
        self._checking = asyncio.create_task(self._health_checks.run(self._health_changed))
        return port

    async def _health_changed(self, component: Component, healthy: bool) -> None:
        """Report a component under its own name, and the services under theirs if they need it."""
        self._down = self._down - {component} if healthy else self._down | {component}
        await self._health.set(component, _STATUS[healthy])
        for service in ("", *self._services):
            await self._health.set(service, _STATUS[not self._down & NEEDED])

    async def stop(self, grace_s: float) -> None:
        """Refuse new RPCs, report NOT_SERVING, and give RPCs in flight `grace_s` seconds."""
        self._checking.cancel()
        await asyncio.gather(self._checking, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(0)
        await self._server.stop(grace_s)
