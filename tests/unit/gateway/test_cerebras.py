"""Cerebras' dialect as documented: /cerebras/v1, for an SDK whose base URL ends before /v1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import LATER, NOW
from tests.unit.gateway.senders import curl

INPUT = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}\n'
SEVEN_DAYS = v1.ExpiresAfter(anchor="created_at", seconds=7 * 86400)


@pytest.mark.parametrize("prefix", ["/cerebras/v1", "/v1"])
async def test_documented_curl_command_uploads_a_file(gateway: RunningGateway, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "batch-requests.jsonl"
    path.write_bytes(INPUT)
    code, file = await curl(
        "--location",
        f"{gateway.url}{prefix}/files",
        "--header",
        "Authorization: Bearer k",
        "--form",
        f'file=@"{path}"',
        "--form",
        'purpose="batch"',
    )
    assert code == 0
    listed = {
        "id": "file-0",
        "object": "file",
        "filename": "batch-requests.jsonl",
        "bytes": len(INPUT),
        "purpose": "batch",
        "created_at": NOW.seconds,
        "expires_at": LATER.seconds,
    }
    assert {key: file[key] for key in listed} == listed


async def test_files_expire_after_seven_days_by_default(gateway: RunningGateway) -> None:
    files, purpose = {"file": ("in.jsonl", INPUT)}, {"purpose": "batch"}
    hour = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    for data in (purpose, purpose | hour):
        await gateway.http.post("/cerebras/v1/files", data=data, files=files)
    kept = [upload.spec.expires_after for upload in gateway.api.uploads]
    assert kept == [SEVEN_DAYS, v1.ExpiresAfter(anchor="created_at", seconds=3600)]


async def create(gateway: RunningGateway, **more: Any) -> httpx.Response:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return await gateway.http.post("/cerebras/v1/batches", json=body | more)


async def test_batch_has_one_model_and_results_for_seven_days(gateway: RunningGateway) -> None:
    batch = (await create(gateway)).json()
    assert (batch["status"], batch["errors"], batch["metadata"]) == ("validating", None, None)
    assert gateway.api.requests[-1] == v1.CreateBatchRequest(
        input_file_id="file-0",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        output_expires_after=SEVEN_DAYS,
        line_rules=v1.LineRules(single_model=True),
        require_input_file=True,
    )


METADATA = {
    "tags": ["a", 1, None, {"b": 2.5}],
    "text": "plain",
    "looks": 'json:"like it"',
    "null": None,
    "yes": True,
    "huge": 10**30,
}


async def test_metadata_of_any_json_type_round_trips(gateway: RunningGateway) -> None:
    created = (await create(gateway, metadata=METADATA)).json()
    assert created["metadata"] == METADATA
    found = (await gateway.http.get(f"/cerebras/v1/batches/{created['id']}")).json()
    assert found["metadata"] == METADATA
    elsewhere = (await gateway.http.get(f"/v1/batches/{created['id']}")).json()["metadata"]
    assert elsewhere == {
        "tags": 'json:["a",1,null,{"b":2.5}]',
        "text": "plain",
        "looks": 'json:"json:\\"like it\\""',
        "null": "json:null",
        "yes": "json:true",
        "huge": f"json:{10**30}",
    }


async def test_metadata_that_resembles_encoded_json_stays_a_string(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", metadata={"note": "json: is a format"})
    assert (await gateway.http.get("/cerebras/v1/batches/b")).json()["metadata"] == {"note": "json: is a format"}


async def test_metadata_that_is_no_object_is_refused(gateway: RunningGateway) -> None:
    reply = await create(gateway, metadata=["a"])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "metadata")


@pytest.mark.parametrize("prefix", ["/cerebras/v1", "/v1", "/siliconflow/v1"])
@pytest.mark.parametrize(("verb", "path"), [("DELETE", ""), ("DELETE", "/"), ("POST", "/cancel")])
async def test_delete_cancels_a_batch_in_every_dialect(
    gateway: RunningGateway, prefix: str, verb: str, path: str
) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", status=v1.BATCH_STATUS_IN_PROGRESS)
    reply = await gateway.http.request(verb, f"{prefix}/batches/b{path}")
    assert (reply.status_code, reply.json()["id"], reply.json()["status"]) == (200, "b", "cancelling")


@pytest.mark.parametrize(
    ("status", "completed", "failed", "word"),
    [
        (v1.BATCH_STATUS_VALIDATING, 0, 0, "validating"),
        (v1.BATCH_STATUS_IN_PROGRESS, 0, 0, "queued"),
        (v1.BATCH_STATUS_IN_PROGRESS, 1, 0, "in_progress"),
        (v1.BATCH_STATUS_IN_PROGRESS, 0, 1, "in_progress"),
        (v1.BATCH_STATUS_FINALIZING, 0, 0, "finalizing"),
        (v1.BATCH_STATUS_FAILED, 0, 0, "failed"),
        (v1.BATCH_STATUS_COMPLETED, 0, 2, "completed"),
        (v1.BATCH_STATUS_EXPIRED, 0, 2, "expired"),
        (v1.BATCH_STATUS_CANCELLING, 0, 0, "cancelling"),
        (v1.BATCH_STATUS_CANCELLED, 0, 2, "cancelled"),
    ],
)
async def test_batch_is_queued_until_its_first_line_ends(
    gateway: RunningGateway, status: v1.BatchStatus.ValueType, completed: int, failed: int, word: str
) -> None:
    counts = v1.RequestCounts(total=2, completed=completed, failed=failed)
    gateway.api.batches["b"] = v1.Batch(id="b", status=status, request_counts=counts)
    assert (await gateway.http.get("/cerebras/v1/batches/b")).json()["status"] == word
    assert (await gateway.http.get("/cerebras/v1/batches")).json()["data"][0]["status"] == word


async def test_batch_errors_are_one_string(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", errors=[v1.BatchError(code="c", message="Not JSON.", line=2)])
    assert (await gateway.http.get("/cerebras/v1/batches/b")).json()["errors"] == "Line 2: Not JSON."


async def test_lists_have_three_keys_and_default_to_twenty_files(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT, purpose="batch_output")
    files = (await gateway.http.get("/cerebras/v1/files")).json()
    assert gateway.api.requests[-1] == v1.ListFilesRequest(limit=20)
    assert set(files) == {"object", "data", "has_more"}
    assert files["data"][0]["purpose"] == "batch"
    assert set((await gateway.http.get("/cerebras/v1/batches")).json()) == {"object", "data", "has_more"}


async def test_content_has_its_media_type(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT)
    reply = await gateway.http.get("/cerebras/v1/files/file-0/content")
    assert (reply.headers["content-type"], reply.content) == ("application/x-ndjson", INPUT)


@pytest.mark.parametrize(
    "path", ["/v1/tcp_warming", "/openai/v1/tcp_warming", "/cerebras/v1/tcp_warming", "/cerebras/v1/tcp_warming/"]
)
async def test_tcp_warming_needs_neither_key_nor_api(gateway: RunningGateway, path: str) -> None:
    await gateway.grpc_server.stop(None)
    assert (await gateway.http.get(path)).status_code == 200


async def test_results_route_is_left_out(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b")
    assert (await gateway.http.get("/cerebras/v1/batches/b/results")).status_code == 404


async def test_openai_sdk_uploads_creates_lists_and_cancels(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/cerebras/v1", api_key="k", max_retries=0) as sdk:
        file = await sdk.files.create(file=("in.jsonl", INPUT), purpose="batch")
        batch = await sdk.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert [each.id async for each in sdk.batches.list(limit=1)] == [batch.id]
        assert [each.id async for each in sdk.files.list(limit=1)] == [file.id]
        assert (await sdk.batches.cancel(batch.id)).status == "cancelling"
        assert (await sdk.files.delete(file.id)).deleted


async def test_generic_calls_work_with_a_base_url_without_v1(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/cerebras", api_key="k", max_retries=0) as client:
        await client.get("/v1/tcp_warming", cast_to=httpx.Response)
        file = await client.post(
            "/v1/files",
            cast_to=openai.types.FileObject,
            files={"file": ("in.jsonl", INPUT)},
            body={"purpose": "batch"},
            options={"headers": {"content-type": "multipart/form-data"}},
        )
    assert file.id == "file-0"
