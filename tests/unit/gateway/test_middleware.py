"""What every reply carries, what the api is told of the caller, and the operator's probes."""

from __future__ import annotations

import re

import pytest
from grpc_health.v1 import health_pb2

from tests.unit.gateway.conftest import RunningGateway


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/echo", "/nothing", "/healthz"])
async def test_every_reply_has_the_headers_of_openai(gateway: RunningGateway, path: str) -> None:
    reply = await gateway.http.get(path)
    assert re.fullmatch(r"req_[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["openai-processing-ms"].isdigit()
    assert reply.headers["openai-version"] == "2020-10-01"


async def test_the_callers_request_id_is_kept_and_passed_on(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/v1/models", headers={"x-request-id": "my-id:1.2"})
    assert reply.headers["x-request-id"] == gateway.api.metadata["x-request-id"] == "my-id:1.2"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb"])
async def test_a_request_id_that_is_not_sane_is_replaced(gateway: RunningGateway, given: str) -> None:
    reply = await gateway.http.get("/v1/models", headers={"x-request-id": given})
    assert reply.headers["x-request-id"].startswith("req_")
    assert gateway.api.metadata["x-request-id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer k"}, "Bearer k"),
        ({"api-key": "k"}, "Bearer k"),
        ({"x-api-key": "k"}, "Bearer k"),
        ({"authorization": "Bearer a", "api-key": "b"}, "Bearer a"),
        ({"authorization": "bearer a", "api-key": "b"}, "bearer a"),
        ({"authorization": "Basic of-a-proxy", "x-api-key": "b"}, "Bearer b"),
        ({"authorization": "Basic of-a-proxy"}, "Basic of-a-proxy"),
        ({"authorization": b"Bearer \xe9"}, None),
        ({"authorization": "Bearer " + "k" * 20_000}, "Bearer " + "k" * 2041),
        ({}, None),
    ],
)
async def test_credentials_travel_as_a_bearer_token(
    gateway: RunningGateway, headers: dict[str, str | bytes], expected: str | None
) -> None:
    raw = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in headers.items()]
    assert (await gateway.http.get("/v1/models", headers=raw)).status_code == 200
    assert gateway.api.metadata.get("authorization") == expected


async def test_the_gateway_is_alive_without_the_api_but_not_ready(gateway: RunningGateway) -> None:
    assert (await gateway.http.get("/readyz")).status_code == 200
    await gateway.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    reply = await gateway.http.get("/readyz")
    assert (reply.status_code, reply.json()) == (503, {"status": "not_serving"})
    await gateway.grpc_server.stop(None)
    assert (await gateway.http.get("/readyz")).status_code == 503
    assert (await gateway.http.get("/healthz")).json() == {"status": "ok"}


async def test_calls_are_counted_by_route_and_not_by_path(gateway: RunningGateway) -> None:
    for name in ("a", "b/c"):
        await gateway.http.get(f"/v1/models/{name}")
    await gateway.http.post("/v1/nothing")
    await gateway.http.get("/healthz")
    await gateway.http.post("/v1/files", data={"purpose": "batch"}, files={"file": b"12345"})
    text = (await gateway.http.get("/metrics")).text
    counts = dict(re.findall(r"^(batchwire_http_(?:requests|upload_bytes)_total\S*) (\S+)$", text, re.MULTILINE))
    assert counts == {
        'batchwire_http_requests_total{method="GET",route="/v1/models/{model_id=**}",status="200"}': "2.0",
        'batchwire_http_requests_total{method="POST",route="unmatched",status="404"}': "1.0",
        'batchwire_http_requests_total{method="POST",route="/v1/files",status="200"}': "1.0",
        "batchwire_http_upload_bytes_total": "5.0",
    }
    assert 'batchwire_http_request_seconds_count{method="GET",route="/v1/models/{model_id=**}"} 2.0' in text
