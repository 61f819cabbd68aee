"""Further rules of OpenAI's API: lifetimes, deletion, pagination, endpoints, types."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from batchwire_client import Client
from openai import OpenAI

from bench.upstream import MODEL, Answer, MockUpstream
from tests.e2e.conftest import Start
from tests.support.lines import chat_line, jsonl
from tests.support.server import Server, wait_until

CHAT: Any = "/v1/chat/completions"


def test_output_files_expire_as_requested_after_their_creation(openai: OpenAI) -> None:
    file = openai.files.create(file=("in.jsonl", jsonl([chat_line("a")])), purpose="batch")
    batch = openai.batches.create(
        input_file_id=file.id,
        endpoint=CHAT,
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    wait_until(lambda: openai.batches.retrieve(batch.id).status == "completed")
    output = openai.files.retrieve(str(openai.batches.retrieve(batch.id).output_file_id))
    assert output.expires_at == output.created_at + 3600
    assert openai.files.retrieve(file.id).expires_at == file.created_at + 30 * 86400


def test_a_batch_runs_after_its_input_file_was_deleted(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "0") as server, Client(server.grpc) as client:
        file = client.files.upload(jsonl([chat_line("a"), chat_line("b")]), filename="in.jsonl")
        batch = client.batches.create(file.id)
        client.files.delete(file.id)
        assert requests.get(f"{server.url}/v1/files/{file.id}/content", timeout=60).status_code == 404
    swept = {"BATCHWIRE_WORK__SWEEP_INTERVAL": "0.05"}
    with Server(tmp_path, environment=swept) as server, Client(server.grpc) as client:
        ended = client.batches.wait(batch.id, timeout=60)
        assert ended.request_counts.completed == 2
        wait_until(lambda: not [name for name in server.blobs() if file.id in name])


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_a_repeated_create_returns_the_same_batch_after_its_input_was_deleted(server: Server, prefix: str) -> None:
    url = f"{server.url}{prefix}"
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", jsonl([chat_line("a")]))}}
    file = requests.post(f"{url}/files", timeout=60, **form).json()
    wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    headers = {"Idempotency-Key": f"nightly of {prefix}"}
    first = requests.post(f"{url}/batches", json=wanted, headers=headers, timeout=60).json()
    assert requests.delete(f"{url}/files/{file['id']}", timeout=60).json()["deleted"]
    again = requests.post(f"{url}/batches", json=wanted, headers=headers, timeout=60)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    other = requests.post(f"{url}/batches", json=wanted | {"completion_window": "48h"}, headers=headers, timeout=60)
    assert (other.status_code, other.headers["x-should-retry"]) == (409, "false")
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_pagination_continues_after_a_deleted_file(openai: OpenAI) -> None:
    made = [openai.files.create(file=("in.jsonl", jsonl([chat_line("a")])), purpose="batch").id for _ in range(3)]
    deleted = []
    for file in openai.files.list(limit=1):
        if file.id in made:
            openai.files.delete(file.id)
            deleted.append(file.id)
    assert deleted == made[::-1]


def test_the_operator_restricts_the_endpoints(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__ENDPOINTS='["/v1/chat/completions", "/v1/rerank"]')
    wanted = {"input_file_id": "file-x", "endpoint": "/v1/rerank", "completion_window": "24h"}
    assert requests.post(f"{server.url}/v1/batches", json=wanted, timeout=60).json()["endpoint"] == "/v1/rerank"
    refused = requests.post(f"{server.url}/v1/batches", json=wanted | {"endpoint": "/v1/embeddings"}, timeout=60)
    supported = "Supported values are: '/v1/chat/completions' and '/v1/rerank'."
    assert refused.json()["error"]["message"] == f"Invalid value: '/v1/embeddings'. {supported}"


def test_a_batch_matches_the_openai_type_in_every_state(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    """The client is strict: a response that does not match its types raises."""

    async def never(_request: dict[str, Any]) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    upstream = upstream_of(MockUpstream(behaviour=never))
    server = start("--upstream", upstream.base_url, BATCHWIRE_WORK__CANCEL_GRACE="0.5")
    seen: set[str] = set()
    with OpenAI(base_url=f"{server.url}/v1", api_key="k", _strict_response_validation=True) as client:
        good = client.files.create(file=("in.jsonl", jsonl([chat_line("a", model=MODEL)])), purpose="batch").id
        bad = client.files.create(file=("in.jsonl", jsonl([{}])), purpose="batch").id

        def create(file_id: str, window: Any = "24h") -> str:
            batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window=window)
            seen.add(batch.status)
            return batch.id

        def reaches(batch_id: str, status: str) -> None:
            wait_until(lambda: client.batches.retrieve(batch_id).status == status)
            seen.add(status)

        cancelled = create(good)
        reaches(cancelled, "in_progress")
        seen.add(client.batches.cancel(cancelled).status)
        reaches(create(bad), "failed")
        reaches(create(good, "1s"), "expired")
        reaches(cancelled, "cancelled")
        assert {batch.status for batch in client.batches.list()} == {"failed", "expired", "cancelled"}
    assert seen == {"validating", "in_progress", "cancelling", "failed", "expired", "cancelled"}
