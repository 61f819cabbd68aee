"""Respan's dialect, as documented: /api/files/ and /api/v1/batches/."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
import requests
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import Failure
from tests.unit.gateway.senders import curl, needs_node, node, requested

# The documented input file, with two models.
INPUT = b"".join(
    b'{"custom_id": "request-%d", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "%b", '
    b'"messages": [{"role": "user", "content": "Hello!"}]}}\n' % (number, model)
    for number, model in enumerate((b"gpt-4", b"gpt-3.5-turbo"), 1)
)

FETCH = """
const [url, ...more] = process.argv.slice(1);
const formData = new FormData();
formData.append('file', new Blob([more[0]]), 'batch_input.jsonl');
formData.append('purpose', 'batch');
const response = await fetch(url, {
  method: 'POST', headers: { 'Authorization': 'Bearer YOUR_API_KEY' }, body: formData });
console.log(JSON.stringify(await response.json()));
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "batch_input.jsonl"
    path.write_bytes(INPUT)
    return path


def check(file: Any) -> None:
    """Check the reply to an upload against the documents."""
    assert (file["object"], file["bytes"], file["purpose"]) == ("file", len(INPUT), "batch")
    assert file["filename"] == "batch_input.jsonl"
    assert isinstance(file["created_at"], int)


@pytest.mark.parametrize("url", ["/api/files/", "/api/files", "/v1/files/"])
async def test_documented_curl_command_uploads_a_file(gateway: RunningGateway, path: Path, url: str) -> None:
    code, file = await curl(
        gateway.url + url, "-H", "Authorization: Bearer YOUR_API_KEY", "-F", f"file=@{path}", "-F", "purpose=batch"
    )
    assert code == 0
    check(file)
    assert gateway.api.metadata["authorization"] == "Bearer YOUR_API_KEY"


async def test_documented_python_uploads_a_file(gateway: RunningGateway, path: Path) -> None:
    with path.open("rb") as f:
        reply = await requested(
            requests.post,
            f"{gateway.url}/api/files/",
            headers={"Authorization": "Bearer YOUR_API_KEY"},
            files={"file": f},
            data={"purpose": "batch"},
        )
    assert (reply.status_code, reply.history) == (200, [])
    check(reply.json())


@needs_node
async def test_documented_typescript_uploads_a_file(gateway: RunningGateway) -> None:
    script = f"(async () => {{ {FETCH} }})()"
    check(await node(script, f"{gateway.url}/api/files/", INPUT.decode()))


@pytest.mark.parametrize("slash", ["/", ""])
async def test_paths_work_with_and_without_a_trailing_slash(gateway: RunningGateway, slash: str) -> None:
    file = gateway.api.store(INPUT)
    gateway.api.batches["b"] = v1.Batch(id="b")
    for url in ("/api/files", f"/api/files/{file.id}", f"/api/files/{file.id}/content", "/api/v1/batches"):
        assert (await gateway.http.get(url + slash)).status_code == 200, url
    assert (await gateway.http.post(f"/api/v1/batches/b/cancel{slash}")).json()["status"] == "cancelling"
    listed = (await gateway.http.get(f"/api/files{slash}")).json()
    assert (listed["object"], listed["has_more"]) == ("list", False)


@pytest.mark.parametrize(
    ("failure", "status", "body"),
    [
        (
            Failure(grpc.StatusCode.UNAUTHENTICATED, "You didn't provide an API key.", "MISSING_API_KEY"),
            401,
            {"error": "Authentication credentials were not provided."},
        ),
        (
            Failure(grpc.StatusCode.UNAUTHENTICATED, "Incorrect API key provided: k", "INVALID_API_KEY"),
            401,
            {"error": "Incorrect API key provided: k"},
        ),
        (
            Failure(grpc.StatusCode.INVALID_ARGUMENT, "'x' is not one of …", "INVALID_VALUE", {"param": "purpose"}),
            400,
            {
                "error": {
                    "message": "Invalid value for 'purpose': must be one of ['batch', ...]",
                    "type": "invalid_request_error",
                }
            },
        ),
        (
            Failure(grpc.StatusCode.NOT_FOUND, "No such File object: file-xyz", "FILE_NOT_FOUND", {"param": "id"}),
            404,
            {"error": {"message": "No such file: file-xyz", "type": "invalid_request_error"}},
        ),
    ],
)
async def test_errors_have_their_documented_forms(
    gateway: RunningGateway, failure: Failure, status: int, body: Any
) -> None:
    gateway.api.failures["*"] = failure
    reply = await gateway.http.get("/api/files/file-xyz/")
    assert (reply.status_code, reply.json()) == (status, body)


PARAMS = {"customer_identifier": "c-1", "environment": "prod", "metadata": {"team": "ü", "n": 3}, "unknown": 1}
KEPT = {"customer_identifier": "c-1", "environment": "prod", "team": "ü", "n": "json:3"}
TEXT = json.dumps(PARAMS, ensure_ascii=False).encode()


@pytest.mark.parametrize("header", ["X-Data-Respan-Params", "X-Data-Keywordsai-Params"])
@pytest.mark.parametrize("value", [TEXT, base64.b64encode(TEXT), base64.urlsafe_b64encode(TEXT).rstrip(b"=")])
async def test_parameters_in_a_header_become_metadata(gateway: RunningGateway, header: str, value: bytes) -> None:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    reply = await gateway.http.post("/api/v1/batches/", json=body, headers=[(header.encode(), value)])
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert dict(request.metadata) == KEPT
    assert reply.json()["metadata"] == {"customer_identifier": "c-1", "environment": "prod", "team": "ü", "n": 3}


async def test_parameters_in_the_body_win_over_the_header(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "thread_identifier": "t", "customer_identifier": "c-2", "metadata": {"a": [1]}}
    headers = {"X-Data-Respan-Params": json.dumps(PARAMS | {"metadata": {"a": "b"}})}
    reply = await gateway.http.post("/api/v1/batches", json=body, headers=headers)
    assert reply.json()["metadata"] == {
        "customer_identifier": "c-2",
        "environment": "prod",
        "thread_identifier": "t",
        "a": [1],
    }


@pytest.mark.parametrize("value", ["{", "[]", "nonsense!", "bm9uc2Vuc2U=", ""])
async def test_malformed_parameters_are_refused(gateway: RunningGateway, value: str) -> None:
    reply = await gateway.http.post("/api/v1/batches/", json={}, headers={"X-Data-Respan-Params": value})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == (
        "X-Data-Respan-Params must be a JSON object, or a JSON object in Base64."
    )


async def test_upload_checks_the_header_and_ignores_it(gateway: RunningGateway, path: Path) -> None:
    url = f"{gateway.url}/api/files/"
    header = 'X-Data-Respan-Params: {"customer_identifier": "c", "purpose": "x"}'
    code, file = await curl(url, "-H", header, "-F", f"file=@{path}", "-F", "purpose=batch")
    assert (code, file["purpose"]) == (0, "batch")
    code, refused = await curl(url, "-H", "X-Data-Respan-Params: {", "-F", f"file=@{path}", "-F", "purpose=batch")
    assert "must be a JSON object" in refused["error"]["message"]


async def test_openai_sdk_works_on_each_prefix(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/api", api_key="k", max_retries=0) as files:
        file = await files.files.create(file=("in.jsonl", INPUT), purpose="batch")
        assert [each.id async for each in files.files.list()] == [file.id]
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/api/v1", api_key="k", max_retries=0) as batches:
        batch = await batches.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert (await batches.batches.cancel(batch.id)).status == "cancelling"
