"""The gRPC server: the services, health, reflection, and how it lives and ends."""

from __future__ import annotations

import asyncio

from batchwire import v1
from batchwire.v1 import batch_service_pb2, file_service_pb2, model_service_pb2, upload_service_pb2, webhook_service_pb2
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from batchwire_server.api.batches import BatchServicer
from batchwire_server.api.files import FileServicer
from batchwire_server.api.interceptor import CallInterceptor
from batchwire_server.api.models import ModelServicer
from batchwire_server.api.uploads import UploadServicer
from batchwire_server.api.webhooks import WebhookServicer
from batchwire_server.core.health import Component
from batchwire_server.service.use_cases import UseCases

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A client that watches a quiet batch may ping as often as every ten seconds.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.so_reuseport", 0),  # two servers on one port are a mistake, not a cluster
)

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (file_service_pb2, "FileService"),
        (upload_service_pb2, "UploadService"),
        (batch_service_pb2, "BatchService"),
        (model_service_pb2, "ModelService"),
        (webhook_service_pb2, "WebhookService"),
    )
)


NEEDED = frozenset({Component.DATABASE, Component.BLOBS})
"""The parts without which no call can be answered well. Batches wait for the others."""


class RpcServer:
    """The gRPC server of the role api."""

    def __init__(self, use_cases: UseCases) -> None:
        self._server = aio.server(
            interceptors=[CallInterceptor(use_cases.authenticator, use_cases.trusted_header)], options=OPTIONS
        )
        self._health = health.aio.HealthServicer()
        self._health_checks = use_cases.health_checks
        self._out: set[str] = set()
        v1.add_FileServiceServicer_to_server(FileServicer(use_cases.files), self._server)
        v1.add_UploadServiceServicer_to_server(UploadServicer(use_cases.uploads), self._server)
        batches = BatchServicer(use_cases.batches, use_cases.watches, use_cases.results)
        v1.add_BatchServiceServicer_to_server(batches, self._server)
        v1.add_ModelServiceServicer_to_server(ModelServicer(use_cases.models), self._server)
        v1.add_WebhookServiceServicer_to_server(WebhookServicer(use_cases.webhooks), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self, address: str) -> int:
        """Listens at `host:port`; returns the port, which port 0 leaves to the system."""
        port = self._server.add_insecure_port(address)
        await self._server.start()
        for service in ("", *SERVICES, *self._health_checks.parts):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._looking = asyncio.create_task(self._health_checks.run(self._changed))
        return port

    async def _changed(self, part: str, fine: bool) -> None:
        """Tells of a part under its own name, and of all under the services' names if it is one that they need."""
        self._out = self._out - {part} if fine else self._out | {part}
        for service, parts in ((part, {part}), *((service, NEEDED) for service in ("", *SERVICES))):
            serving = health_pb2.HealthCheckResponse.SERVING
            status = health_pb2.HealthCheckResponse.NOT_SERVING if self._out & parts else serving
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Takes no new calls, tells so by its health, and gives calls in flight `grace` seconds."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(0)
        await self._server.stop(grace)
