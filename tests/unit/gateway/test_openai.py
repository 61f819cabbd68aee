"""OpenAI's dialect with the openai SDK: sync and async, lax and strict."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway

CONTENT = b'{"custom_id": "1"}\n' * 200_000


@pytest_asyncio.fixture(params=[False, True], ids=["lax", "strict"])
async def sdk(gateway: RunningGateway, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    strict = bool(request.param)
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, _strict_response_validation=strict
    ) as client:
        yield client


async def test_files_are_uploaded_found_read_and_deleted(gateway: RunningGateway, sdk: openai.AsyncOpenAI) -> None:
    expiry = {"anchor": "created_at", "seconds": 3600}
    file = await sdk.files.create(file=("in.jsonl", CONTENT), purpose="batch", expires_after=expiry)  # type: ignore[arg-type]  # a TypedDict
    assert (file.filename, file.bytes, file.status) == ("in.jsonl", len(CONTENT), "processed")
    assert gateway.api.uploads[0].spec.expires_after.seconds == 3600
    assert (await sdk.files.retrieve(file.id)).id == file.id
    assert (await sdk.files.content(file.id)).content == CONTENT
    assert (await sdk.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        await sdk.files.retrieve(file.id)


async def test_lists_are_paged_to_their_end(gateway: RunningGateway, sdk: openai.AsyncOpenAI) -> None:
    for _ in range(5):
        gateway.api.store(b"{}\n")
    assert [file.id async for file in sdk.files.list(limit=2, order="asc")] == [f"file-{n}" for n in range(5)]
    assert len(gateway.api.requests) == 3


async def test_batches_are_created_found_listed_and_cancelled(gateway: RunningGateway, sdk: openai.AsyncOpenAI) -> None:
    batch = await sdk.batches.create(
        input_file_id="file-1",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"team": "a"},
        extra_body={"replace": {"model": "x"}},
    )
    assert (batch.status, batch.metadata, batch.errors) == ("validating", {"team": "a"}, None)
    assert batch.usage is not None
    assert batch.usage.input_tokens_details.cached_tokens == 0
    assert (await sdk.batches.retrieve(batch.id)).id == batch.id
    assert [each.id async for each in sdk.batches.list(limit=1)] == [batch.id]
    assert (await sdk.batches.cancel(batch.id)).status == "cancelling"
    assert batch._request_id
    gateway.api.batches[batch.id].errors.append(v1.BatchError(code="c", message="m"))
    failed = await sdk.batches.retrieve(batch.id)
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert (failed.errors.data[0].code, failed.errors.data[0].line) == ("c", None)


async def test_refused_cancel_is_not_retried(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", status=v1.BATCH_STATUS_COMPLETED)
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=2) as client:
        with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
            await client.batches.cancel("b")
    assert len(gateway.api.requests) == 1


async def test_large_file_is_uploaded_in_parts(sdk: openai.AsyncOpenAI) -> None:
    upload = await sdk.uploads.upload_file_chunked(
        file=CONTENT,
        filename="in.jsonl",
        bytes=len(CONTENT),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=1_000_000,
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert upload.file.bytes == len(CONTENT)
    assert (await sdk.uploads.cancel("upload_2")).status == "cancelled"


async def test_models_are_found(sdk: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == ["echo"]
    assert (await sdk.models.retrieve("Qwen/Qwen3-8B")).id == "Qwen/Qwen3-8B"


async def test_refused_upload_raises_its_error_not_a_broken_pipe(
    gateway: RunningGateway, sdk: openai.AsyncOpenAI
) -> None:
    gateway.api.max_upload_bytes = 100_000
    with pytest.raises(openai.APIStatusError, match="File is too large") as refused:
        await sdk.files.create(file=("in.jsonl", CONTENT), purpose="batch")
    assert refused.value.status_code == 413


async def test_sync_client_uploads_creates_and_downloads(gateway: RunningGateway) -> None:
    def go_round() -> bytes:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", _strict_response_validation=True) as client:
            file = client.files.create(file=io.BytesIO(CONTENT), purpose="batch")
            assert file.filename == "upload"
            client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
            assert [each.object for each in client.batches.list()] == ["batch"]
            return client.files.content(file.id).read()

    assert await asyncio.to_thread(go_round) == CONTENT
    assert gateway.api.metadata["authorization"] == "Bearer k"


async def test_sdk_reads_the_event_stream(gateway: RunningGateway, sdk: openai.AsyncOpenAI) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b")
    await gateway.api.snapshots.put(v1.Batch(id="b", status=v1.BATCH_STATUS_COMPLETED))
    await gateway.api.snapshots.put(None)
    stream = await sdk.get(
        "/batches/b/events", cast_to=openai.types.Batch, stream=True, stream_cls=openai.AsyncStream[object]
    )
    assert len([event async for event in stream]) == 1
