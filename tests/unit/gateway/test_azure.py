"""Azure's dialect: /openai/files and /openai/batches, any api-version, the key in `api-key`."""

from __future__ import annotations

import openai
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway

INPUT = b'{"custom_id": "1", "body": {"model": "m"}}\n'


@pytest.mark.parametrize("strict", [False, True])
async def test_azure_sdk_uploads_creates_cancels_and_deletes(gateway: RunningGateway, strict: bool) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=gateway.url,
        api_key="k",
        api_version="2025-03-01-preview",
        max_retries=0,
        _strict_response_validation=strict,
    ) as sdk:
        file = await sdk.files.create(file=("in.jsonl", INPUT), purpose="batch")
        batch = await sdk.batches.create(
            input_file_id=file.id,
            endpoint="/chat/completions",  # type: ignore[arg-type]  # Azure's spelling
            completion_window="24h",
        )
        assert [each.id async for each in sdk.batches.list(limit=1)] == [batch.id]
        assert (await sdk.batches.cancel(batch.id)).status == "cancelling"
        assert (await sdk.files.content(file.id)).content == INPUT
        assert (await sdk.files.delete(file.id)).deleted
    assert gateway.api.metadata["authorization"] == "Bearer k"


@pytest.mark.parametrize("endpoint", ["/chat/completions", "/v1/chat/completions"])
async def test_endpoint_gains_v1_and_lines_may_lack_targets(gateway: RunningGateway, endpoint: str) -> None:
    gateway.api.store(INPUT)
    body = {"input_file_id": "file-0", "endpoint": endpoint, "completion_window": "24h"}
    batch = (await gateway.http.post("/openai/batches?api-version=x", json=body)).json()
    assert batch["endpoint"] == "/v1/chat/completions"
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert request.line_rules == v1.LineRules(default_target=True, unversioned_target=True)


@pytest.mark.parametrize("endpoint", ["chat/completions", "", 7])
async def test_endpoint_that_is_no_path_is_passed_to_the_api(gateway: RunningGateway, endpoint: object) -> None:
    gateway.api.store(INPUT)
    reply = await gateway.http.post("/openai/batches", json={"input_file_id": "file-0", "endpoint": endpoint})
    if isinstance(endpoint, str):
        assert reply.json()["endpoint"] == endpoint
    else:
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "endpoint")


async def test_novitas_longer_prefix_wins_over_azures(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b")
    assert (await gateway.http.get("/openai/v1/batches/b")).json()["errors"] == ""
    assert (await gateway.http.get("/openai/batches/b")).json()["errors"] is None
