"""Novita's dialect, as documented: /openai/v1."""

from __future__ import annotations

from pathlib import Path

import grpc
import openai
import pytest
import requests
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import Failure
from tests.unit.gateway.senders import curl, requested

# The documented input file: lines without method and url.
INPUT = (
    b'{"custom_id": "request-1", "body": {"model": "deepseek/deepseek-v3-0324", '
    b'"messages": [{"role": "user", "content": "Hello, world!"}], "max_tokens": 400}}\n'
    b'{"custom_id": "request-2", "body": {"model": "deepseek/deepseek-v3-0324", "messages": '
    b'[{"role": "system", "content": "You are a helpful assistant."},{"role": "user", "content": "Hello world!"}],'
    b'"max_tokens": 1000}}\n'
)
FIFTEEN_DAYS = 15 * 86400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "batch_input.jsonl"
    path.write_bytes(INPUT)
    return path


async def test_upload_reply_has_the_documented_keys(gateway: RunningGateway, path: Path) -> None:
    url = f"{gateway.url}/openai/v1/files"
    code, file = await curl(url, "-H", "Authorization: Bearer k", "--form", "purpose=batch", "--form", f"file=@{path}")
    assert code == 0
    assert file["metadata"] == {"total_requests": 2}
    assert (file["object"], file["bytes"], file["filename"]) == ("file", len(INPUT), "batch_input.jsonl")
    assert (file["purpose"], file["status"]) == ("batch", "processed")
    assert isinstance(file["created_at"], int)


@pytest.mark.parametrize("prefix", ["/openai/v1", "/v1"])
async def test_documented_content_type_json_is_accepted_with_a_form(
    gateway: RunningGateway, path: Path, prefix: str
) -> None:
    url, json_header = f"{gateway.url}{prefix}/files", "Content-Type: application/json"
    code, file = await curl(url, "-H", json_header, "-F", f"file=@{path}", "-F", "purpose=batch")
    assert (code, file["bytes"]) == (0, len(INPUT))
    reply = await requested(
        requests.post,
        url,
        headers={"Content-Type": "application/json", "Authorization": "Bearer k"},
        files={"file": INPUT},
        data={"purpose": "batch"},
    )
    assert reply.json()["bytes"] == len(INPUT)


async def test_files_expire_after_fifteen_days_by_default(gateway: RunningGateway, path: Path) -> None:
    url = f"{gateway.url}/openai/v1/files"
    await curl(url, "-F", "purpose=batch", "-F", f"file=@{path}")
    await curl(url, "-F", "purpose=batch", "-F", "expires_after[seconds]=3600", "-F", f"file=@{path}")
    kept = [upload.spec.expires_after for upload in gateway.api.uploads]
    assert kept == [v1.ExpiresAfter(anchor="created_at", seconds=each) for each in (FIFTEEN_DAYS, 3600)]


async def test_window_and_targets_of_lines_are_optional(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "endpoint": "/v1/chat/completions"}
    reply = await gateway.http.post("/openai/v1/batches", json=body)
    assert gateway.api.requests[-1] == v1.CreateBatchRequest(
        input_file_id="file-0",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        line_rules=v1.LineRules(default_target=True, single_model=True),
        require_input_file=True,
    )
    batch = reply.json()
    assert (batch["status"], batch["completion_window"]) == ("validating", "24h")
    assert (batch["errors"], batch["output_file_id"], batch["error_file_id"]) == ("", "", "")


async def test_window_of_48h_is_passed_on(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "endpoint": "/v1/completions", "completion_window": "48h"}
    assert (await gateway.http.post("/openai/v1/batches", json=body)).json()["completion_window"] == "48h"


async def test_batch_errors_are_one_string(gateway: RunningGateway) -> None:
    faults = [v1.BatchError(code="c", message="Not JSON.", line=2), v1.BatchError(code="d", message="Empty.")]
    gateway.api.batches["b"] = v1.Batch(id="b", errors=faults, output_file_id="file-9")
    batch = (await gateway.http.get("/openai/v1/batches/b")).json()
    assert (batch["errors"], batch["output_file_id"]) == ("Line 2: Not JSON.\nEmpty.", "file-9")


async def test_errors_have_openais_form(gateway: RunningGateway) -> None:
    body = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions"}
    missing = await gateway.http.post("/openai/v1/batches", json=body)
    assert (missing.status_code, missing.json()["error"]["message"]) == (404, "No such File object: file-x")
    message = "Incorrect API key provided: sk-…"
    gateway.api.failures["*"] = Failure(grpc.StatusCode.UNAUTHENTICATED, message, "INVALID_API_KEY")
    refused = await gateway.http.get("/openai/v1/files")
    assert refused.status_code == 401
    assert refused.json()["error"] == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    unknown = await gateway.http.get("/openai/v1/nothing")
    assert (unknown.status_code, set(unknown.json()["error"])) == (404, {"message", "type", "param", "code"})


async def test_openai_sdk_uploads_creates_lists_and_cancels(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/openai/v1", api_key="k", max_retries=0) as sdk:
        file = await sdk.files.create(file=("in.jsonl", INPUT), purpose="batch")
        assert getattr(file, "metadata") == {"total_requests": 2}  # noqa: B009 - a key that the type lacks
        batch = await sdk.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert [each.id async for each in sdk.batches.list(limit=1)] == [batch.id]
        assert (await sdk.batches.cancel(batch.id)).status == "cancelling"
        assert (await sdk.files.content(file.id)).content == INPUT
        assert (await sdk.files.delete(file.id)).deleted
