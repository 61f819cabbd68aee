"""Request ids and common headers over HTTP."""

from __future__ import annotations

import re

import pytest

from tests.unit.gateway.conftest import RunningGateway


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/echo", "/nothing", "/healthz"])
async def test_every_reply_has_openais_headers(gateway: RunningGateway, path: str) -> None:
    reply = await gateway.http.get(path)
    assert re.fullmatch(r"req_[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["openai-processing-ms"].isdigit()
    assert reply.headers["openai-version"] == "2020-10-01"


async def test_callers_request_id_is_kept_and_passed_on(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/v1/models", headers={"x-request-id": "my-id:1.2"})
    assert reply.headers["x-request-id"] == gateway.api.metadata["x-request-id"] == "my-id:1.2"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb"])
async def test_malformed_request_id_is_replaced(gateway: RunningGateway, given: str) -> None:
    reply = await gateway.http.get("/v1/models", headers={"x-request-id": given})
    assert reply.headers["x-request-id"].startswith("req_")
    assert gateway.api.metadata["x-request-id"] == reply.headers["x-request-id"]
