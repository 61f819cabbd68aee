"""The examples of SiliconFlow's page "Create batch": /siliconflow/v1/batches.

Its 504 needs an api that answers too late: `tests/unit/gateway/test_siliconflow.py` has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from bench.upstream import MockUpstream
from tests.e2e.conftest import Start
from tests.e2e.test_keys import keys
from tests.support.clients import completed, curl
from tests.support.lines import chat_file
from tests.support.roles import role
from tests.support.server import Server

# Every property of the request, in the order of the page.
REQUEST = """{
  "input_file_id": "%s",
  "endpoint": "/v1/chat/completions",
  "completion_window": "24h",
  "metadata": {"description": "nightly eval job"},
  "replace": {"model": "deepseek-ai/DeepSeek-V3"}
}"""
WANTED = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}

# Every property of the response, and its type.
REPLY: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "object", "endpoint", "input_file_id", "completion_window", "status"), (str,)),
    **dict.fromkeys(("created_at", "expires_at"), (int,)),
    **dict.fromkeys(("errors",), (list, type(None))),
    **dict.fromkeys(("output_file_id", "error_file_id"), (str, type(None))),
    **dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at"), (int, type(None))),
    **dict.fromkeys(("cancelling_at", "cancelled_at"), (int, type(None))),
    **dict.fromkeys(("request_counts", "metadata"), (dict, type(None))),
}


def upload(url: str, model: str = "echo") -> str:
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", chat_file(3, model))}}
    return str(requests.post(f"{url}/siliconflow/v1/files", timeout=30, **form).json()["data"]["id"])


def create(url: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(f"{url}/siliconflow/v1/batches", json=body, headers=headers, timeout=30)


def check_bad_request(answer: requests.Response) -> None:
    """Check a response against BadRquestData of the page."""
    body = answer.json()
    assert answer.status_code == 400
    assert {key: type(value) for key, value in body.items()} == {"code": int, "message": str, "data": str}
    assert body["code"] == 20012


def test_the_response_has_the_fields_of_the_page_and_the_batch_runs(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(models=("deepseek-ai/DeepSeek-V3",)))
    server = start("--upstream", upstream.base_url)
    file_id = upload(server.url, "a-model-that-nobody-serves")
    batch = curl(
        "--request", "POST", "--url", f"{server.url}/siliconflow/v1/batches", "--header", "Authorization: Bearer k",
        "--header", "Content-Type: application/json", "--data", REQUEST % file_id,
    )  # fmt: skip
    for name, kinds in REPLY.items():
        assert type(batch[name]) in kinds, name
    assert (batch["object"], batch["input_file_id"], batch["status"]) == ("batch", file_id, "in_queue")
    assert batch["metadata"] == json.loads(REQUEST)["metadata"]
    assert batch["expires_at"] - batch["created_at"] == 86400
    done = completed(f"{server.url}/siliconflow/v1/batches/{batch['id']}")
    assert (done["request_counts"]["completed"], done["errors"]) == (3, None)
    assert len(upstream.calls) == 3


@pytest.mark.parametrize("field", ["input_file_id", "completion_window", "endpoint"])
def test_required_fields_are_required(server: Server, field: str) -> None:
    whole = {"input_file_id": upload(server.url), **WANTED}
    check_bad_request(create(server.url, {key: value for key, value in whole.items() if key != field}))


@pytest.mark.parametrize(("window", "status"), [("23h", 400), ("24h", 200), ("336h", 200), ("337h", 400)])
def test_completion_windows_are_between_24_and_336_hours(server: Server, window: str, status: int) -> None:
    answer = create(server.url, {"input_file_id": upload(server.url), **WANTED, "completion_window": window})
    assert answer.status_code == status
    if status == 400:
        check_bad_request(answer)


@pytest.mark.parametrize(("metadata", "status"), [
    ({str(number): "v" for number in range(16)}, 200), ({str(number): "v" for number in range(17)}, 400),
    ({"k" * 64: "v" * 512}, 200), ({"k" * 65: "v"}, 400), ({"k": "v" * 513}, 400),
], ids=["16 pairs", "17 pairs", "as long as may be", "a longer key", "a longer value"])  # fmt: skip
def test_metadata_limits(server: Server, metadata: dict[str, str], status: int) -> None:
    answer = create(server.url, {"input_file_id": upload(server.url), **WANTED, "metadata": metadata})
    assert answer.status_code == status
    if status == 400:
        check_bad_request(answer)


def test_the_401(start: Start) -> None:
    server = start()
    keys(server.data_dir, "create", "--tenant", "red")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = create(server.url, WANTED, **headers)
        assert (answer.status_code, answer.json()) == (401, "Invalid token")


def test_the_404(server: Server) -> None:
    answer = requests.post(f"{server.url}/siliconflow/v1/batchez", json=WANTED, timeout=30)
    assert (answer.status_code, answer.json()) == (404, "404 page not found")


def test_the_503() -> None:
    with role("gateway", "--api", "127.0.0.1:1", "--http-listen", "127.0.0.1:0") as gateway:
        answer = create(f"http://{gateway['http']}", WANTED)
    assert answer.status_code == 503
    assert isinstance(answer.json(), str)
