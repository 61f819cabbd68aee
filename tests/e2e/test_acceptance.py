"""Public clients and the curl calls of the providers' pages, from upload to results.

Other files: the SDK of OpenAI (`test_openai_sdk.py`, `test_other_sdks.py`), one per documentation
page (`test_novita_upload_file.py`, `test_respan_upload_file.py`,
`test_siliconflow_create_batch.py`, `test_cerebras_upload_file.py`), unusual requests
(`test_odd_senders.py`), error responses (`test_refusals.py`), early ends and kills
(`test_early_ends.py`, `test_crash.py`), and webhooks.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import openai as sdk
import pytest
import requests
from cerebras.cloud.sdk import Cerebras
from groq import Groq
from openai import AzureOpenAI, OpenAI

from tests.e2e.conftest import Start
from tests.support.clients import completed, curl
from tests.support.invariants import check_ended
from tests.support.lines import chat_file, ids_of
from tests.support.server import Server, wait_until

CHAT: Final = "/v1/chat/completions"
STRICT_LINES = chat_file(3)
BARE_LINES = b"".join(
    b'{"custom_id": "request-%d", "body": {"model": "echo", "messages": [{"role": "user", "content": "Hello, world!"}], '
    b'"max_tokens": 400}}\n' % number
    for number in (1, 2)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the input."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(STRICT_LINES)
    return path


# The upload of each page, with another host, key and file name. {url} is the base of the dialect.
UPLOADS = {
    "novita": ("/openai/v1", ["{url}/files", "-H", "Authorization: Bearer k", "-H", "Content-Type: application/json", "-F", "file=@{path}", "-F", "purpose=batch"]),
    "respan": ("/api", ["-X", "POST", "{url}/files/", "-H", "Authorization: Bearer YOUR_API_KEY", "-F", "file=@{path}", "-F", "purpose=batch"]),
    "siliconflow": ("/siliconflow/v1", ["--request", "POST", "--url", "{url}/files", "--header", "Authorization: Bearer k", "-F", "purpose=batch", "-F", "file=@{path}"]),
    "cerebras": ("/cerebras/v1", ["--location", "{url}/files", "--header", "Authorization: Bearer k", "--form", 'file=@"{path}"', "--form", 'purpose="batch"']),
}  # fmt: skip

# The create call of each page.
CREATES: dict[str, tuple[str, dict[str, Any]]] = {
    "novita": ("/batches", {"endpoint": CHAT}),
    "respan": ("/v1/batches/", {"endpoint": CHAT, "completion_window": "24h"}),
    "siliconflow": ("/batches", {"endpoint": CHAT, "completion_window": "336h", "metadata": {"description": "nightly eval job"}, "replace": {"model": "echo"}}),
    "cerebras": ("/batches", {"endpoint": CHAT, "completion_window": "24h"}),
}  # fmt: skip


@pytest.mark.parametrize("bare", [False, True], ids=["own prefix", "bare /v1"])
@pytest.mark.parametrize("page", UPLOADS)
def test_the_curl_calls_of_each_provider_page_run_a_batch(server: Server, path: Path, page: str, bare: bool) -> None:
    prefix, upload = UPLOADS[page]
    batches, body = CREATES[page]
    if bare:
        prefix, batches = "/v1", "/batches"
        body = {"completion_window": "24h"} | body
    url = server.url + prefix
    file = curl(*(word.format(url=url, path=path) for word in upload))
    batch = curl(
        "--request", "POST", "--url", f"{url}{batches}", "--header", "Authorization: Bearer k",
        "--header", "Content-Type: application/json", "--data", json.dumps({"input_file_id": file["id"], **body}),
    )  # fmt: skip
    ended = completed(f"{url}{batches.rstrip('/')}/{batch['id']}")
    output = requests.get(f"{url}/files/{ended['output_file_id']}/content", timeout=30).content
    assert ids_of(output) == ids_of(STRICT_LINES)
    check_ended(server.url, batch["id"], STRICT_LINES)


@pytest.mark.parametrize("prefix", ["/openai/v1", "/siliconflow/v1"])
def test_lines_may_consist_of_custom_id_and_body_only(server: Server, prefix: str) -> None:
    url = server.url + prefix
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", BARE_LINES)}}
    file = requests.post(f"{url}/files", timeout=30, **form).json()
    wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = requests.post(f"{url}/batches", json=wanted, timeout=30).json()
    ended = completed(f"{url}/batches/{batch['id']}")
    assert ended["request_counts"]["completed"] == 2


def test_a_siliconflow_upload_has_its_id_at_top_level_and_in_data(server: Server) -> None:
    with OpenAI(base_url=f"{server.url}/siliconflow/v1", api_key="k", _strict_response_validation=True) as client:
        file = client.files.create(file=("in.jsonl", STRICT_LINES), purpose="batch")
        assert file.model_extra
        assert file.model_extra["data"]["id"] == file.id


@pytest.mark.parametrize("strict", [False, True])
def test_every_response_matches_the_types_of_the_openai_sdk(server: Server, strict: bool) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="k", _strict_response_validation=strict) as client:
        files = [client.files.create(file=(f"{n}.jsonl", STRICT_LINES), purpose="batch") for n in range(3)]
        made = [
            client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h").id for file in files
        ]
        assert [file.id for file in client.files.list(limit=1, purpose="batch")][:3] == [f.id for f in reversed(files)]
        assert [batch.id for batch in client.batches.list(limit=1)][:3] == made[::-1]
        for batch_id in made:
            completed(f"{server.url}/v1/batches/{batch_id}")
            batch = client.batches.retrieve(batch_id)
            assert batch.output_file_id
            assert ids_of(client.files.content(batch.output_file_id).read()) == ids_of(STRICT_LINES)
            assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
        upload = client.uploads.create(bytes=4, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
        assert client.uploads.parts.create(upload.id, data=b"{}").upload_id == upload.id
        assert client.uploads.cancel(upload.id).status == "cancelled"
        for file in files:
            assert client.files.delete(file.id).deleted


def test_parts_uploaded_out_of_order_form_one_file_and_complete_is_idempotent(openai: OpenAI) -> None:
    content = chat_file(600)
    third = len(content) // 3 + 1
    pieces = [content[start : start + third] for start in range(0, len(content), third)]
    upload = openai.uploads.create(
        bytes=len(content), filename="in.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    ids = {number: openai.uploads.parts.create(upload.id, data=pieces[number]).id for number in (2, 0, 1)}
    order = [ids[number] for number in range(3)]
    with pytest.raises(sdk.BadRequestError, match="md5"):
        openai.uploads.complete(upload.id, part_ids=order, md5="0" * 32)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    done = openai.uploads.complete(upload.id, part_ids=order, md5=md5)
    again = openai.uploads.complete(upload.id, part_ids=order, md5=md5)
    assert done.file
    assert again.file
    assert (again.status, again.file.id) == ("completed", done.file.id)
    assert openai.files.content(done.file.id).read() == content


def test_parts_can_be_uploaded_concurrently(openai: OpenAI) -> None:
    pieces = [chat_file(2000)[start : start + 50_000] for start in range(0, len(chat_file(2000)), 50_000)]
    content = b"".join(pieces)
    assert len(pieces) > 4
    upload = openai.uploads.create(
        bytes=len(content), filename="in.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    with ThreadPoolExecutor() as pool:
        ids = list(pool.map(lambda piece: openai.uploads.parts.create(upload.id, data=piece).id, pieces))
        completing = [pool.submit(openai.uploads.complete, upload.id, part_ids=ids) for _ in range(3)]
        files = [done.result().file for done in completing]
    (file_id,) = {file.id for file in files if file}
    assert openai.files.content(file_id).read() == content


def test_a_part_over_the_size_limit_is_refused_and_the_upload_goes_on(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__MAX_PART_BYTES="1000")
    with OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        upload = client.uploads.create(bytes=1000, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
        with pytest.raises(sdk.APIStatusError, match="File is too large") as refused:
            client.uploads.parts.create(upload.id, data=b"{" * 1001)
        assert refused.value.status_code == 413
        part = client.uploads.parts.create(upload.id, data=b'{"a": 1}\n'.ljust(1000))
        assert client.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"


def test_an_expired_upload_accepts_neither_parts_nor_complete(start: Start) -> None:
    server = start(BATCHWIRE_LIMITS__UPLOAD_LIFETIME="1")
    with OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        upload = client.uploads.create(bytes=4, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
        assert upload.expires_at == upload.created_at + 1

        def refused() -> bool:
            try:
                client.uploads.parts.create(upload.id, data=b"{}")
            except sdk.BadRequestError as error:
                return "expired" in str(error)
            return False

        wait_until(refused)
        with pytest.raises(sdk.BadRequestError, match="expired"):
            client.uploads.complete(upload.id, part_ids=[])


@pytest.mark.parametrize("ending", ["completed", "failed"])
def test_a_refused_cancel_is_sent_once(server: Server, ending: str) -> None:
    sent: list[httpx.Request] = []
    http = sdk.DefaultHttpxClient(event_hooks={"request": [sent.append]})
    with OpenAI(base_url=f"{server.url}/v1", api_key="k", http_client=http) as client:
        content = STRICT_LINES if ending == "completed" else b"{}\n"
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        wait_until(lambda: client.batches.retrieve(batch.id).status == ending)
        sent.clear()
        with pytest.raises(sdk.ConflictError) as refused:
            client.batches.cancel(batch.id)
    assert len(sent) == 1
    headers = refused.value.response.headers
    assert headers["x-should-retry"] == "false"
    assert headers["x-request-id"]
    assert int(headers["openai-processing-ms"]) >= 0


def create_batch_with_cerebras(client: Cerebras) -> dict[str, Any]:
    """Upload and create a batch with generic calls, since the SDK has neither files nor batches."""
    form = {"Content-Type": "multipart/form-data"}
    files, body = {"file": ("in.jsonl", STRICT_LINES)}, {"purpose": "batch"}
    file = client.post("/v1/files", cast_to=dict[str, Any], options={"headers": form}, files=files, body=body)
    assert file["expires_at"] == file["created_at"] + 7 * 86400
    wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    return client.post("/v1/batches", cast_to=dict[str, Any], body=wanted)


def test_the_cerebras_sdk_warms_up_and_runs_a_batch(server: Server) -> None:
    with Cerebras(base_url=f"{server.url}/cerebras", api_key="k", max_retries=0) as client:
        assert client.get("/v1/tcp_warming", cast_to=httpx.Response).status_code == 200
        batch = create_batch_with_cerebras(client)
    ended = completed(f"{server.url}/cerebras/v1/batches/{batch['id']}")
    assert ended["request_counts"]["completed"] == 3


def test_the_cerebras_sdk_cancels_by_delete(start: Start) -> None:
    server = start("--workers", "0")
    with Cerebras(base_url=f"{server.url}/cerebras", api_key="k", max_retries=0) as client:
        batch = create_batch_with_cerebras(client)
        assert client.delete(f"/v1/batches/{batch['id']}", cast_to=dict[str, Any])["status"] == "cancelling"


def test_the_groq_sdk_runs_a_batch(server: Server) -> None:
    with Groq(base_url=f"{server.url}/groq", api_key="k", max_retries=0) as client:
        file = client.files.create(file=("in.jsonl", STRICT_LINES), purpose="batch")
        assert file.id
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        wait_until(lambda: client.batches.retrieve(batch.id).status == "completed")
        assert batch.id in [entry.id for entry in client.batches.list().data]
        assert file.id in [entry.id for entry in client.files.list().data]
        done = client.batches.retrieve(batch.id)
        assert done.output_file_id
        assert ids_of(client.files.content(done.output_file_id).read()) == ids_of(STRICT_LINES)


def test_the_azure_client_runs_a_batch(server: Server) -> None:
    with AzureOpenAI(azure_endpoint=server.url, api_key="k", api_version="2025-03-01-preview", max_retries=0) as client:
        lines = STRICT_LINES.replace(b'"/v1/chat/completions"', b'"/chat/completions"')  # as in Azure's documentation
        file = client.files.create(file=("in.jsonl", lines), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        wait_until(lambda: client.batches.retrieve(batch.id).status == "completed")
        assert batch.id in [entry.id for entry in client.batches.list(limit=1)]
        assert file.id in [entry.id for entry in client.files.list()]
        done = client.batches.retrieve(batch.id)
        assert done.output_file_id
        assert ids_of(client.files.content(done.output_file_id).read()) == ids_of(STRICT_LINES)
