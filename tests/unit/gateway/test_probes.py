"""The operator's probes over HTTP."""

from __future__ import annotations

from batchwire_server.core.health import Component
from batchwire_server.gateway.probes import HEALTH_COMPONENTS
from grpc_health.v1 import health_pb2

from tests.unit.gateway.conftest import RunningGateway


async def test_gateway_without_the_api_is_alive_but_not_ready(gateway: RunningGateway) -> None:
    assert (await gateway.http.get("/readyz")).status_code == 200
    await gateway.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    reply = await gateway.http.get("/readyz")
    assert (reply.status_code, reply.json()) == (503, {"status": "not_serving"})
    await gateway.grpc_server.stop(None)
    assert (await gateway.http.get("/readyz")).status_code == 503
    assert (await gateway.http.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_reports_the_components_that_the_api_reports(gateway: RunningGateway) -> None:
    await gateway.health.set("database", health_pb2.HealthCheckResponse.SERVING)
    await gateway.health.set("upstreams", health_pb2.HealthCheckResponse.NOT_SERVING)
    reply = await gateway.http.get("/readyz")
    assert (reply.status_code, reply.json()) == (
        200,
        {"status": "ok", "database": "ok", "upstreams": "not_serving"},
    )


def test_components_are_those_of_the_server() -> None:
    assert set(HEALTH_COMPONENTS) == set(Component)
