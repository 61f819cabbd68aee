"""Metrics over HTTP."""

from __future__ import annotations

import re

from tests.unit.gateway.conftest import RunningGateway


async def test_requests_are_counted_by_route(gateway: RunningGateway) -> None:
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
