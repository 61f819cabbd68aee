"""The examples of Novita's page "Upload file": /openai/v1/files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.upstream import MockUpstream
from tests.e2e.conftest import Start
from tests.e2e.test_keys import keys
from tests.support.clients import completed, curl, ended
from tests.support.server import Server

MODEL = "deepseek/deepseek-v3-0324"

# As on the page: without method and url.
INPUT = b"""{"custom_id": "request-1", "body": {"model": "deepseek/deepseek-v3-0324", "messages": [{"role": "user", "content": "Hello, world!"}], "max_tokens": 400}}
{"custom_id": "request-2", "body": {"model": "deepseek/deepseek-v3-0324", "messages": [{"role": "system", "content": "You are a helpful assistant."},{"role": "user", "content": "Hello world!"}],"max_tokens": 1000}}
"""

# The headers that the page requires, though the body is not JSON.
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer {{API Key}}"}


def by_curl(url: str, path: Path) -> Any:
    headers = [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
    return curl(url, *headers, "-F", f"file=@{path}", "-F", "purpose=batch")


def by_requests(url: str, path: Path) -> Any:
    with path.open("rb") as file:
        return requests.post(url, headers=HEADERS, files={"file": file}, data={"purpose": "batch"}, timeout=30).json()


def uploaded(server: Server, content: bytes) -> str:
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("batch_input.jsonl", content)}}
    file = requests.post(f"{server.url}/openai/v1/files", timeout=30, **form).json()
    return str(file["id"])


def created(server: Server, content: bytes) -> str:
    """Create a batch of an input. Return the URL of the batch."""
    wanted = {"input_file_id": uploaded(server, content), "endpoint": "/v1/chat/completions"}
    batch = requests.post(f"{server.url}/openai/v1/batches", json=wanted, timeout=30).json()
    return f"{server.url}/openai/v1/batches/{batch['id']}"


@pytest.mark.parametrize("sender", [by_curl, by_requests])
def test_the_response_has_the_fields_of_the_page(
    server: Server, tmp_path: Path, sender: Callable[[str, Path], Any]
) -> None:
    path = tmp_path / "batch_input.jsonl"
    path.write_bytes(INPUT)
    url = f"{server.url}/openai/v1/files"
    file = sender(url, path)
    required = {key: file[key] for key in ("object", "bytes", "filename", "purpose")}
    assert required == {"object": "file", "bytes": len(INPUT), "filename": "batch_input.jsonl", "purpose": "batch"}
    assert isinstance(file["id"], str)
    assert type(file["created_at"]) is int
    assert file["metadata"] == {"total_requests": 2}
    assert requests.get(f"{url}/{file['id']}/content", timeout=30).content == INPUT


def test_the_upstream_receives_the_parameters_of_the_body(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(models=(MODEL,)))
    batch = completed(created(start("--upstream", upstream.base_url), INPUT))
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    assert (batch["errors"], batch["error_file_id"]) == ("", "")
    assert sorted(upstream.calls) == ["Hello world!", "Hello, world!"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (INPUT.replace(MODEL.encode(), b"echo", 1).replace(MODEL.encode(), b"another"), "does not match the rest of the batch"),
        (INPUT.replace(MODEL.encode(), b"echo").replace(b"request-2", b"request-1"), "must be unique"),
    ],
    ids=["two models", "a custom_id twice"],
)  # fmt: skip
def test_inputs_that_the_page_warns_of_fail_the_batch(server: Server, content: bytes, fault: str) -> None:
    batch = ended(created(server, content))
    assert batch["status"] == "failed"
    assert fault in batch["errors"]


def test_a_call_without_a_bearer_token_is_refused(start: Start) -> None:
    server = start()
    key = keys(server.data_dir, "create", "--tenant", "red")
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", INPUT)}}
    url = f"{server.url}/openai/v1/files"
    assert requests.post(url, timeout=30, **form).status_code == 401
    headers = {"Authorization": f"Bearer {key}"}
    assert requests.post(url, headers=headers, timeout=30, **form).status_code == 200
