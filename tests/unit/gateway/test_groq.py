"""Groq's dialect: /groq/openai/v1, for its SDK with /groq as base URL; on the bare host its paths are Novita's and still serve it."""

from __future__ import annotations

import openai
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway

INPUT = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}\n'


# The paths, verbs, bodies and the Accept of Groq's SDK are OpenAI's; what is parsed strictly is what Groq's types want as well.
@pytest.mark.parametrize(("base", "strict"), [("/groq", True), ("/groq", False), ("", False)])
async def test_its_calls_go_round(gateway: RunningGateway, base: str, strict: bool) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}{base}/openai/v1", api_key="k", max_retries=0, _strict_response_validation=strict
    ) as sdk:
        file = await sdk.files.create(file=("in.jsonl", INPUT), purpose="batch")
        batch = await sdk.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="7d",  # type: ignore[arg-type]  # Groq's longest
        )
        assert not batch.output_file_id
        assert not batch.errors
        assert [each.id for each in (await sdk.batches.list()).data] == [batch.id]
        octets = {"accept": "application/octet-stream"}
        assert (await sdk.files.content(file.id, extra_headers=octets)).content == INPUT
        assert (await sdk.batches.cancel(batch.id)).status == "cancelling"


async def test_an_unknown_file_is_told_at_once(gateway: RunningGateway) -> None:
    body = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert (await gateway.http.post("/groq/openai/v1/batches", json=body)).status_code == 404
    assert gateway.api.requests[-1] == v1.CreateBatchRequest(
        input_file_id="file-x", endpoint="/v1/chat/completions", completion_window="24h", require_input_file=True
    )
