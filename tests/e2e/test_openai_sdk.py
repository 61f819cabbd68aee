"""The official OpenAI SDK for Python, unmodified, against `/v1`."""

from __future__ import annotations

import json
import time

import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch

from tests.support.lines import chat_file, check_invariants, ids_of
from tests.support.server import Server

ENDED = {"completed", "failed", "expired", "cancelled"}


def run(client: OpenAI, content: bytes) -> Batch:
    """Run a file as a batch until it has ended."""
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"team": "red"}
    )
    assert batch.status == "validating"
    assert batch.expires_at == batch.created_at + 86400
    while batch.status not in ENDED:
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    return batch


def test_a_batch_runs_from_upload_to_download(openai: OpenAI) -> None:
    batch = run(openai, chat_file(20))
    assert batch.status == "completed", batch
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (20, 20, 0)
    assert batch.error_file_id is None
    assert batch.errors is None
    assert batch.model == "echo"
    assert batch.metadata == {"team": "red"}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (20, 20, 40)
    stamps = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    known = [stamp for stamp in stamps if stamp is not None]
    assert len(known) == 4
    assert known == sorted(known)
    assert batch.output_file_id is not None
    content = openai.files.content(batch.output_file_id).read()
    assert ids_of(content) == [f"line-{number}" for number in range(20)]
    check_invariants(20, 20, 0, content, b"")
    line = json.loads(content.splitlines()[3])
    assert set(line) == {"id", "custom_id", "response", "error"}
    assert set(line["response"]) == {"status_code", "request_id", "body"}
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "line-3"
    output = openai.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output"
    assert output.filename == f"{batch.id}_output.jsonl"
    assert output.bytes == len(content)


def test_files_are_listed_page_by_page_and_deleted(openai: OpenAI) -> None:
    made = [openai.files.create(file=(f"{n}.jsonl", chat_file(1)), purpose="batch") for n in range(5)]
    listed = [file.id for file in openai.files.list(limit=2, purpose="batch")]
    assert listed[:5] == [file.id for file in reversed(made)]
    oldest_first = [file.id for file in openai.files.list(limit=2, order="asc")]
    assert [file_id for file_id in oldest_first if file_id in {file.id for file in made}] == [file.id for file in made]
    assert openai.files.content(made[0].id).read() == chat_file(1)
    assert made[0].expires_at == made[0].created_at + 2_592_000
    deleted = openai.files.delete(made[0].id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made[0].id, "file", True)
    with pytest.raises(sdk.NotFoundError, match=f"No such File object: {made[0].id}") as refused:
        openai.files.retrieve(made[0].id)
    assert refused.value.param == "id"


def test_batches_are_listed_page_by_page(openai: OpenAI) -> None:
    file = openai.files.create(file=("in.jsonl", chat_file(1)), purpose="batch")
    made = [
        openai.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id
        for _ in range(4)
    ]
    listed = [batch.id for batch in openai.batches.list(limit=1)]
    assert listed[:4] == made[::-1]


def test_a_refused_cancel_is_not_retried(openai: OpenAI) -> None:
    batch = run(openai, chat_file(1))
    with pytest.raises(sdk.ConflictError, match="Cannot cancel a batch with status 'completed'") as refused:
        openai.batches.cancel(batch.id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_an_expiry_policy_is_stored(openai: OpenAI) -> None:
    file = openai.files.create(
        file=("in.jsonl", chat_file(1)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600


def test_an_upload_in_parts_becomes_a_file(openai: OpenAI) -> None:
    content = chat_file(300)
    upload = openai.uploads.upload_file_chunked(
        file=content,
        filename="big.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=9999,
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert openai.files.content(upload.file.id).read() == content


def test_models_are_listed(openai: OpenAI) -> None:
    assert [model.id for model in openai.models.list()] == ["echo"]
    assert openai.models.retrieve("echo").owned_by == "batchwire"


async def test_the_async_client_works_too(server: Server) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", _strict_response_validation=True) as client:
        file = await client.files.create(file=("in.jsonl", chat_file(3)), purpose="batch")
        assert (await client.files.retrieve(file.id)).bytes == file.bytes
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status not in ENDED:
            batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        content = await client.files.content(batch.output_file_id)
        assert ids_of(content.read()) == ["line-0", "line-1", "line-2"]
        assert batch.id in [listed.id async for listed in client.batches.list(limit=2)]
        with pytest.raises(sdk.ConflictError):
            await client.batches.cancel(batch.id)
        assert (await client.files.delete(file.id)).deleted
        assert file.id not in [listed.id async for listed in client.files.list()]
