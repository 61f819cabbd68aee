"""What an operator's probes ask: is the process alive, can it reach the api, what has it counted."""

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

# Shorter than the second that orchestrators give a probe by default would flap; longer would time out there instead.
_PROBE_SECONDS = 0.9

# What the api knows of by name, beside its services.
_PARTS = ("database", "blobs", "upstreams", "workers")
_SAID = ("ok", "not_serving")


def health_routes(channel: grpc.aio.Channel, registry: CollectorRegistry) -> list[Route]:
    """The routes for probes."""
    method = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
    check = Rpc.over(channel, cast("MethodDescriptor", method))

    async def status_of(service: str) -> str:
        try:
            reply = await check.start(health_pb2.HealthCheckRequest(service=service), timeout=_PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code().name.lower()
        if reply.status == health_pb2.HealthCheckResponse.SERVING:
            return "ok"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status).lower()

    async def ready(_: Request) -> Response:
        status, *parts = await asyncio.gather(*map(status_of, ("", *_PARTS)))
        known = {part: said for part, said in zip(_PARTS, parts, strict=True) if said in _SAID}
        return JsonResponse({"status": status, **known}, status_code=200 if status == "ok" else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", _alive), Route("/readyz", ready), Route("/metrics", metrics)]


def probe_routes(dialects: Sequence[Dialect]) -> list[Route]:
    """The routes that clients of some providers call to see whether anybody is there. They need no key."""
    paths = [path for dialect in dialects for each in dialect.probes if (path := dialect.spell(each)) is not None]
    return [Route(path + slash, _alive) for path in paths for slash in ("", "/")]


async def _alive(_: Request) -> Response:
    return JsonResponse({"status": "ok"})
