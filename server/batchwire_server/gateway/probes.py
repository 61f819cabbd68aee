"""Routes for probes: liveness, readiness, metrics, and the probe paths of dialects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import grpc
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchwire_server.gateway.dialects import Dialect
from batchwire_server.gateway.methods.rpc import Rpc
from batchwire_server.gateway.web.responses import JsonResponse

# Orchestrators wait one second by default. A shorter timeout would report a slow api as down, a
# longer one would exceed theirs.
_PROBE_TIMEOUT_S = 0.9

HEALTH_COMPONENTS = ("database", "blobs", "upstreams", "workers")
"""Names under which the api reports the health of its components, beside its services."""

# States of a component that `/readyz` repeats. Others mean that the api does not report it.
_REPORTED_STATES = ("ok", "not_serving")


def health_routes(channel: grpc.aio.Channel, registry: CollectorRegistry) -> list[Route]:
    """Return the routes of the operator's probes."""
    method = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
    check = Rpc.over(channel, cast("MethodDescriptor", method))

    async def state_of(service: str) -> str:
        try:
            reply = await check.start(health_pb2.HealthCheckRequest(service=service), timeout=_PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return error.code().name.lower()
        if reply.status == health_pb2.HealthCheckResponse.SERVING:
            return "ok"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status).lower()

    async def ready(_: Request) -> Response:
        status, *states = await asyncio.gather(*map(state_of, ("", *HEALTH_COMPONENTS)))
        components = dict(zip(HEALTH_COMPONENTS, states, strict=True))
        reported = {name: state for name, state in components.items() if state in _REPORTED_STATES}
        return JsonResponse({"status": status, **reported}, status_code=200 if status == "ok" else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", _alive), Route("/readyz", ready), Route("/metrics", metrics)]


def probe_routes(dialects: Sequence[Dialect]) -> list[Route]:
    """Return the routes by which clients of some providers test the connection, without a key."""
    paths = [
        path for dialect in dialects for each in dialect.probe_paths if (path := dialect.path_for(each)) is not None
    ]
    return [Route(path + slash, _alive) for path in paths for slash in ("", "/")]


async def _alive(_: Request) -> Response:
    return JsonResponse({"status": "ok"})
