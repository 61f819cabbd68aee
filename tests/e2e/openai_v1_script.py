"""Use files and batches with major version 1 of the OpenAI SDK. Argument: the base URL."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import openai
from openai import AsyncOpenAI, OpenAI

ENDED = {"completed", "failed", "expired", "cancelled"}
LINE = {
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "echo", "messages": [{"role": "user", "content": "hi"}]},
}
CONTENT = b"".join(json.dumps({"custom_id": f"c{n}", **LINE}).encode() + b"\n" for n in range(5))


def sync_part(base_url: str) -> None:
    """Run a batch and delete its input with the sync client."""
    with OpenAI(base_url=base_url, api_key="any", _strict_response_validation=True) as client:
        file = client.files.create(file=("in.jsonl", CONTENT), purpose="batch")
        assert client.files.retrieve(file.id).bytes == len(CONTENT)
        assert file.id in [listed.id for listed in client.files.list()]
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status not in ENDED:
            time.sleep(0.02)
            batch = client.batches.retrieve(batch.id)
        assert batch.status == "completed", batch
        assert batch.id in [listed.id for listed in client.batches.list()]
        assert len(client.files.content(batch.output_file_id or "").read().splitlines()) == 5
        try:
            client.batches.cancel(batch.id)
        except openai.ConflictError:
            pass
        else:
            raise AssertionError("a completed batch was cancelled")
        assert client.files.delete(file.id).deleted


async def async_part(base_url: str) -> None:
    """Run a batch and delete its input with the async client."""
    async with AsyncOpenAI(base_url=base_url, api_key="any", _strict_response_validation=True) as client:
        file = await client.files.create(file=("in.jsonl", CONTENT), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status not in ENDED:
            batch = await client.batches.retrieve(batch.id)
        assert len((await client.files.content(batch.output_file_id or "")).read().splitlines()) == 5
        assert (await client.files.delete(file.id)).deleted


assert openai.__version__.startswith("1."), openai.__version__
sync_part(sys.argv[1])
asyncio.run(async_part(sys.argv[1]))
