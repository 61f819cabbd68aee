"""Errors of all kinds over HTTP, and what the gateway imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import batchwire_server.gateway
import grpc
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import Failure


async def test_error_of_the_api_keeps_its_message(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/v1/files/file-x")
    assert reply.status_code == 404
    assert reply.json() == {
        "error": {
            "message": "No such File object: file-x",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }
    }


async def test_refused_cancel_forbids_retries(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", status=v1.BATCH_STATUS_COMPLETED)
    reply = await gateway.http.post("/v1/batches/b/cancel")
    assert reply.status_code == 409
    assert reply.headers["x-should-retry"] == "false"
    assert reply.json()["error"]["message"] == "Cannot cancel a batch with status 'completed'."


async def test_internal_error_reveals_only_the_request_id(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.api.failures["*"] = Failure(grpc.StatusCode.INTERNAL, "secret: password=1")
    reply = await gateway.http.get("/v1/models")
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (500, "server_error")
    assert "secret" not in reply.text
    assert reply.headers["x-request-id"] in error["message"]
    assert reply.headers["x-request-id"] in caplog.text


async def test_unreachable_api_is_a_503_that_says_so(gateway: RunningGateway, caplog: pytest.LogCaptureFixture) -> None:
    await gateway.grpc_server.stop(None)
    reply = await gateway.http.get("/v1/models")
    assert (reply.status_code, reply.json()["error"]["type"]) == (503, "server_error")
    assert reply.json()["error"]["message"].startswith("The api cannot be reached")
    assert "UNAVAILABLE from the api at" in caplog.text
    assert "127.0.0.1" in caplog.text
    assert "127.0.0.1" not in reply.text


async def test_rate_limit_error_has_retry_after(gateway: RunningGateway) -> None:
    gateway.api.failures["*"] = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "Slow down.", metadata={"retry_after": "3"})
    reply = await gateway.http.get("/v1/models")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "3")
    assert reply.json()["error"]["message"] == "Slow down."


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/files/a/b/c", "/nowhere"])
async def test_unknown_url_is_a_404_that_names_it(gateway: RunningGateway, path: str) -> None:
    reply = await gateway.http.post(path, json={})
    assert reply.status_code == 404
    assert reply.json()["error"] == {
        "message": f"Invalid URL (POST {path})",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_wrong_verb_is_a_405_with_the_allowed_ones(gateway: RunningGateway) -> None:
    reply = await gateway.http.put("/v1/batches/batch_1", json={})
    assert (reply.status_code, reply.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert reply.json()["error"]["message"] == "Not allowed to PUT on /v1/batches/batch_1."


def test_gateway_imports_only_known_packages() -> None:
    allowed = {
        "batchwire",
        "google",
        "grpc",
        "grpc_health",
        "msgspec",
        "prometheus_client",
        "python_multipart",
        "starlette",
    }
    for path in Path(batchwire_server.gateway.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                root = name.partition(".")[0]
                assert root in allowed | sys.stdlib_module_names or name.startswith("batchwire_server.gateway"), (
                    path,
                    name,
                )
