"""SiliconFlow's dialect, as documented: /siliconflow/v1."""

from __future__ import annotations

from typing import Any

import grpc
import openai
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import LATER, NOW, Failure
from tests.unit.gateway.senders import curl

# The documented input file, parts of which OpenAI refuses.
INPUT = b'{"custom_id": "1", "body": {"messages": [{"role": "user", "content": "Hi"}], "stream": true}}\n'

# The documented keys, in their order.
CREATE = """{"input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "%s",
 "metadata": {"description": "nightly eval job"}, "replace": {"model": "deepseek-ai/DeepSeek-V3"}}"""

KEYS = [
    "id",
    "object",
    "endpoint",
    "errors",
    "input_file_id",
    "completion_window",
    "status",
    "output_file_id",
    "error_file_id",
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
    "request_counts",
    "metadata",
]


async def create(gateway: RunningGateway, window: str = "24h", prefix: str = "/siliconflow/v1") -> Any:
    gateway.api.store(INPUT, "nightly.jsonl")
    header = "Content-Type: application/json"
    url = f"{gateway.url}{prefix}/batches"
    code, batch = await curl(url, "-H", "Authorization: Bearer k", "-H", header, "-d", CREATE % window)
    assert code == 0
    return batch


async def test_batch_has_the_documented_keys(gateway: RunningGateway) -> None:
    batch = await create(gateway)
    assert set(KEYS) <= set(batch)
    assert {key: batch[key] for key in KEYS} == {
        **dict.fromkeys(KEYS),
        "id": "batch_0",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-0",
        "completion_window": "24h",
        "status": "in_queue",
        "created_at": NOW.seconds,
        "expires_at": LATER.seconds,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": {"description": "nightly eval job"},
    }
    assert batch["file_name"] == "nightly.jsonl"
    assert gateway.api.requests[-1] == v1.CreateBatchRequest(
        input_file_id="file-0",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"description": "nightly eval job"},
        replace=v1.Replace(model="deepseek-ai/DeepSeek-V3"),
        line_rules=v1.LineRules(default_target=True, single_model=True, drop_stream=True),
        require_input_file=True,
    )


@pytest.mark.parametrize("prefix", ["/siliconflow/v1", "/v1"])
async def test_longest_window_and_replaced_model_are_passed_on(gateway: RunningGateway, prefix: str) -> None:
    batch = await create(gateway, "336h", prefix)
    assert batch["completion_window"] == "336h"
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert request.replace.model == "deepseek-ai/DeepSeek-V3"
    assert "replace" not in batch


@pytest.mark.parametrize("window", ["24h", "1440m", "86400s", "1d", "336h", "14d"])
async def test_window_within_the_range_is_accepted(gateway: RunningGateway, window: str) -> None:
    assert (await create(gateway, window))["completion_window"] == window


@pytest.mark.parametrize("window", ["23h", "1h", "86399s", "337h", "15d", "0h"])
async def test_window_outside_the_range_is_refused(gateway: RunningGateway, window: str) -> None:
    refused = await create(gateway, window)
    message = f"Invalid value: '{window}'. Supported values are: '24h' to '336h'."
    assert refused == {"code": 20012, "message": message, "data": "completion_window"}
    assert (await create(gateway, window, "/v1")).get("object") == "batch", "the api's to refuse"


@pytest.mark.parametrize("window", ["tomorrow", "", "24", "24 h"])
async def test_malformed_window_is_passed_to_the_api(gateway: RunningGateway, window: str) -> None:
    await create(gateway, window)
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert request.completion_window == window


@pytest.mark.parametrize("status", v1.BatchStatus.values()[1:])
@pytest.mark.parametrize("ended", [0, 1])
async def test_batch_is_in_queue_until_its_first_line_ends(
    gateway: RunningGateway, status: v1.BatchStatus.ValueType, ended: int
) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", status=status, request_counts=v1.RequestCounts(total=2, failed=ended))
    plain, word = [
        (await gateway.http.get(f"{prefix}/batches/b")).json()["status"] for prefix in ("/v1", "/siliconflow/v1")
    ]
    waits = plain == "validating" or (plain == "in_progress" and not ended)
    assert word == ("in_queue" if waits else plain)


async def test_batch_errors_are_a_list_of_strings(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", errors=[v1.BatchError(code="c", message="Not JSON.", line=2)])
    assert (await gateway.http.get("/siliconflow/v1/batches/b")).json()["errors"] == ["Line 2: Not JSON."]


async def test_upload_reply_is_a_file_and_its_wrapper(gateway: RunningGateway) -> None:
    form = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", INPUT)}}
    reply = (await gateway.http.post("/siliconflow/v1/files", **form)).json()  # type: ignore[arg-type]  # as httpx takes them
    assert (reply["id"], reply["status"], reply["code"], reply["message"]) == ("file-0", "processed", 20000, "Ok")
    assert reply["data"] == {
        "id": "file-0",
        "object": "file",
        "bytes": len(INPUT),
        "createdAt": NOW.seconds,
        "filename": "in.jsonl",
        "purpose": "batch",
    }
    assert "data" not in (await gateway.http.get("/siliconflow/v1/files/file-0")).json()


@pytest.mark.parametrize("strict", [False, True])
async def test_both_ways_to_the_file_id_work(gateway: RunningGateway, strict: bool) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/siliconflow/v1", api_key="k", max_retries=0, _strict_response_validation=strict
    ) as sdk:
        batch_input_file = await sdk.files.create(file=("in.jsonl", INPUT), purpose="batch")
        data: dict[str, Any] = getattr(batch_input_file, "data")  # noqa: B009 - a key that the type lacks
        assert data["id"] == batch_input_file.id
        assert [file.id async for file in sdk.files.list(purpose="batch")] == [batch_input_file.id]


async def test_openai_sdk_uploads_creates_lists_and_cancels(gateway: RunningGateway) -> None:
    gateway.api.store(INPUT)
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/siliconflow/v1", api_key="k", max_retries=0) as sdk:
        batch = await sdk.batches.create(
            input_file_id="file-0",
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_body={"replace": {"model": "m"}},
        )
        assert (await sdk.batches.retrieve(batch.id)).status == "in_queue"  # type: ignore[comparison-overlap]  # not a status of OpenAI
        assert (await sdk.batches.cancel(batch.id)).status == "cancelling"
        gateway.api.failures["*"] = Failure(
            grpc.StatusCode.INVALID_ARGUMENT, "No.", "INVALID_VALUE", {"param": "limit"}
        )
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.batches.retrieve(batch.id)
        assert refused.value.code == "20012"  # as the SDK reads a number


async def test_lists_default_to_ten_files(gateway: RunningGateway) -> None:
    await gateway.http.get("/siliconflow/v1/files?purpose=batch")
    await gateway.http.get("/siliconflow/v1/files?purpose=batch&limit=50")
    expected = [v1.ListFilesRequest(purpose="batch", limit=limit) for limit in (10, 50)]
    assert gateway.api.requests == expected


@pytest.mark.parametrize(
    ("failure", "status", "body"),
    [
        (
            Failure(grpc.StatusCode.INVALID_ARGUMENT, "Bad.", "INVALID_VALUE", {"param": "endpoint"}),
            400,
            {"code": 20012, "message": "Bad.", "data": "endpoint"},
        ),
        (Failure(grpc.StatusCode.UNAUTHENTICATED, "You didn't…", "MISSING_API_KEY"), 401, "Invalid token"),
        (Failure(grpc.StatusCode.UNAUTHENTICATED, "Incorrect…", "INVALID_API_KEY"), 401, "Invalid token"),
        (Failure(grpc.StatusCode.PERMISSION_DENIED, "Not yours."), 403, "Not yours."),
        (Failure(grpc.StatusCode.NOT_FOUND, "No batch 'b'.", "BATCH_NOT_FOUND"), 404, "No batch 'b'."),
        (
            Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "Slow down."),
            429,
            {"code": 429, "message": "Request was rejected due to rate limiting.", "data": ""},
        ),
    ],
)
async def test_errors_have_the_form_of_their_status(
    gateway: RunningGateway, failure: Failure, status: int, body: Any
) -> None:
    gateway.api.failures["*"] = failure
    reply = await gateway.http.get("/siliconflow/v1/batches/b")
    assert (reply.status_code, reply.json()) == (status, body)


@pytest.mark.parametrize(
    ("code", "status"), [(grpc.StatusCode.UNAVAILABLE, 503), (grpc.StatusCode.DEADLINE_EXCEEDED, 504)]
)
async def test_unavailable_api_is_a_bare_string(gateway: RunningGateway, code: grpc.StatusCode, status: int) -> None:
    gateway.api.failures["*"] = Failure(code, "secret")
    reply = await gateway.http.get("/siliconflow/v1/batches")
    assert reply.status_code == status
    assert isinstance(reply.json(), str)


async def test_unknown_url_has_the_documented_reply(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/siliconflow/v1/nothing")
    assert (reply.status_code, reply.json()) == (404, "404 page not found")
