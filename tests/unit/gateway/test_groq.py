"""Groq's dialect: /groq/openai/v1, for its SDK with the base URL /groq.

On the bare host, its SDK calls the paths of Novita's dialect, which serve it too.
"""

from __future__ import annotations

import openai
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway

INPUT = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}\n'


# Groq's SDK sends OpenAI's paths, verbs, bodies and Accept, and its types require the same keys, so
# OpenAI's strict SDK stands in for it.
@pytest.mark.parametrize(("base", "strict"), [("/groq", True), ("/groq", False), ("", False)])
async def test_groq_sdk_uploads_creates_lists_and_cancels(gateway: RunningGateway, base: str, strict: bool) -> None:
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


async def test_unknown_input_file_is_a_404_at_once(gateway: RunningGateway) -> None:
    body = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert (await gateway.http.post("/groq/openai/v1/batches", json=body)).status_code == 404
    assert gateway.api.requests[-1] == v1.CreateBatchRequest(
        input_file_id="file-x", endpoint="/v1/chat/completions", completion_window="24h", require_input_file=True
    )
