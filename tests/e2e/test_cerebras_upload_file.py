"""The examples of Cerebras' page "Upload file": /cerebras/v1/files.

Its published SDKs have no `files` yet: what its samples would send goes by their generic calls, and
by OpenAI's SDK, of which they are made.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from cerebras.cloud.sdk import Cerebras
from openai import OpenAI

from tests.support.clients import completed, curl, needs_node
from tests.support.lines import chat_file
from tests.support.server import Server

CONTENT = chat_file(3)
NODE = Path(__file__).parent / "node"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "batch-requests.jsonl"
    path.write_bytes(CONTENT)
    return path


def check(server: Server, file: dict[str, Any], lifetime: int = 7 * 86400) -> None:
    """Check a response against the page, and that the content is complete."""
    listed = {key: file[key] for key in ("object", "filename", "bytes", "purpose")}
    assert listed == {"object": "file", "filename": "batch-requests.jsonl", "bytes": len(CONTENT), "purpose": "batch"}
    assert isinstance(file["id"], str)
    assert type(file["created_at"]) is int
    assert file["expires_at"] - file["created_at"] == lifetime
    assert requests.get(f"{server.url}/cerebras/v1/files/{file['id']}/content", timeout=30).content == CONTENT


def post(server: Server, more: dict[str, str], content: bytes = CONTENT) -> requests.Response:
    form: dict[str, Any] = {"data": {"purpose": "batch"} | more, "files": {"file": ("batch-requests.jsonl", content)}}
    return requests.post(f"{server.url}/cerebras/v1/files", timeout=30, **form)


def test_the_curl_example(server: Server, path: Path) -> None:
    file = curl(
        "--location", f"{server.url}/cerebras/v1/files", "--header", "Authorization: Bearer k",
        "--form", f'file=@"{path}"', "--form", 'purpose="batch"',
    )  # fmt: skip
    check(server, file)
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = requests.post(f"{server.url}/cerebras/v1/batches", json=wanted, timeout=30).json()
    assert completed(f"{server.url}/cerebras/v1/batches/{batch['id']}")["request_counts"]["completed"] == 3


def test_the_python_example_with_generic_calls(server: Server, path: Path) -> None:
    with Cerebras(base_url=f"{server.url}/cerebras", api_key="k", max_retries=0) as client, path.open("rb") as file:
        options: Any = {"headers": {"Content-Type": "multipart/form-data"}}
        sent = {"files": {"file": file}, "body": {"purpose": "batch"}, "options": options}
        check(server, client.post("/v1/files", cast_to=dict[str, Any], **sent))


def test_the_python_example_with_the_openai_sdk(server: Server, path: Path) -> None:
    with OpenAI(base_url=f"{server.url}/cerebras/v1", api_key="k") as client, path.open("rb") as file:
        check(server, client.files.create(file=file, purpose="batch").to_dict())


@needs_node
def test_the_node_example_with_the_openai_sdk(server: Server, path: Path) -> None:
    script = ["node", str(NODE / "stream.mjs"), f"{server.url}/cerebras/v1", str(path)]
    result = subprocess.run(script, cwd=NODE, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["line-0", "line-1", "line-2"]


@pytest.mark.parametrize(("seconds", "status"), [(3599, 400), (3600, 200), (2_592_000, 200), (2_592_001, 400)])
def test_expires_after_is_between_an_hour_and_30_days(server: Server, seconds: int, status: int) -> None:
    policy = {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(seconds)}
    answer = post(server, policy)
    assert answer.status_code == status
    if status == 200:
        check(server, answer.json(), seconds)


def test_the_expiry_anchor_must_be_created_at(server: Server) -> None:
    policy = {"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"}
    answer = post(server, policy)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_after.anchor")


def test_the_file_must_be_jsonl(server: Server) -> None:
    assert post(server, {}, b"id,text\n1,hello\n").status_code == 400
