"""The examples of Respan's page "Upload file": /api/files/.

Its 400 for a missing key of OpenAI's is never said: no such key is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.upstream import MockUpstream
from tests.e2e.conftest import Start
from tests.e2e.test_keys import keys
from tests.support.clients import completed, curl, fetch_uploads, needs_node
from tests.support.server import Server

INPUT = b"""{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}}
{"custom_id": "request-2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "How are you?"}]}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "batch_input.jsonl"
    path.write_bytes(INPUT)
    return path


def check(server: Server, file: Any) -> None:
    """Check a response against the page, and that the content is complete."""
    listed = {key: file[key] for key in ("object", "bytes", "filename", "purpose")}
    assert listed == {"object": "file", "bytes": len(INPUT), "filename": "batch_input.jsonl", "purpose": "batch"}
    assert file["id"].startswith("file-")
    assert type(file["created_at"]) is int
    assert requests.get(f"{server.url}/api/files/{file['id']}/content/", timeout=30).content == INPUT


def test_the_python_example(server: Server, path: Path) -> None:
    url = f"{server.url}/api/files/"
    headers = {"Authorization": "Bearer YOUR_API_KEY"}
    with path.open("rb") as f:
        files = {"file": f}
        data = {"purpose": "batch"}
        response = requests.post(url, headers=headers, files=files, data=data, timeout=30)
    assert (response.status_code, response.history) == (200, [])
    check(server, response.json())


@needs_node
def test_the_typescript_example(server: Server) -> None:
    check(server, fetch_uploads(f"{server.url}/api/files/", INPUT))


def test_the_curl_example(server: Server, path: Path) -> None:
    check(server, curl(f"{server.url}/api/files/", "-H", "Authorization: Bearer YOUR_API_KEY", "-F", f"file=@{path}", "-F", "purpose=batch"))  # fmt: skip


def test_the_400_for_a_wrong_purpose(server: Server, path: Path) -> None:
    with path.open("rb") as file:
        answer = requests.post(f"{server.url}/api/files/", files={"file": file}, data={"purpose": "x"}, timeout=30)
    message = "Invalid value for 'purpose': must be one of ['batch', ...]"
    assert answer.status_code == 400
    assert answer.json() == {"error": {"message": message, "type": "invalid_request_error"}}


def test_the_401(start: Start, path: Path) -> None:
    server = start()
    keys(server.data_dir, "create", "--tenant", "red")
    with path.open("rb") as file:
        answer = requests.post(f"{server.url}/api/files/", files={"file": file}, data={"purpose": "batch"}, timeout=30)
    assert (answer.status_code, answer.json()) == (401, {"error": "Authentication credentials were not provided."})


def test_the_file_with_two_models_runs(
    start: Start, path: Path, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(models=("gpt-4", "gpt-3.5-turbo")))
    server = start("--upstream", upstream.base_url)
    file = curl(f"{server.url}/api/files/", "-F", f"file=@{path}", "-F", "purpose=batch")
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = requests.post(f"{server.url}/api/v1/batches/", json=wanted, timeout=30).json()
    done = completed(f"{server.url}/api/v1/batches/{batch['id']}/")
    assert (done["request_counts"]["completed"], done["model"]) == (2, None)
    assert sorted(upstream.calls) == ["Hello!", "How are you?"]
