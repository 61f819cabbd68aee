"""Requests that deviate from the standards, as real clients send them: no byte may be lost."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Start
from tests.e2e.test_keys import keys
from tests.support.clients import curl, fetch_uploads, needs_node
from tests.support.lines import chat_file
from tests.support.server import Server

CONTENT = chat_file(12_000)
assert len(CONTENT) > 1 << 20, "above what parsers of forms hold in memory"
JSON = "application/json"
PREFIXES = ("/v1", "/openai/v1", "/siliconflow/v1", "/cerebras/v1", "/openai", "/groq/openai/v1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(CONTENT)
    return path


def check(server: Server, file: Any, content: bytes = CONTENT) -> None:
    """Check that a response describes a file with the content that was sent."""
    assert (file["object"], file["purpose"], file["bytes"]) == ("file", "batch", len(content)), file
    assert requests.get(f"{server.url}/v1/files/{file['id']}/content", timeout=60).content == content


@pytest.mark.parametrize("prefix", PREFIXES)
def test_curl_sends_a_form_under_a_json_header_with_a_boundary_and_attachments(
    server: Server, path: Path, prefix: str
) -> None:
    url = f"{server.url}{prefix}/files"
    check(server, curl(url, "-H", f"Content-Type: {JSON}", "-F", f"file=@{path}", "-F", "purpose=batch"))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_requests_sends_a_form_under_a_json_header_without_a_boundary(server: Server, prefix: str) -> None:
    form: dict[str, Any] = {"files": {"file": ("in.jsonl", CONTENT)}, "data": {"purpose": "batch"}}
    answer = requests.post(f"{server.url}{prefix}/files", headers={"Content-Type": JSON}, timeout=60, **form)
    check(server, answer.json())


def test_requests_sends_the_purpose_first_and_a_file_without_a_content_type(server: Server) -> None:
    form: dict[str, Any] = {"files": {"file": ("in.jsonl", CONTENT)}, "data": {"purpose": "batch"}}
    prepared = requests.Request("POST", f"{server.url}/v1/files", **form).prepare()
    assert isinstance(prepared.body, bytes)
    assert prepared.body.index(b'name="purpose"') < prepared.body.index(b'name="file"')
    assert b"Content-Type" not in prepared.body.partition(CONTENT[:20])[0]
    with requests.Session() as session:
        check(server, session.send(prepared, timeout=60).json())


@needs_node
def test_fetch_sends_the_file_first(server: Server) -> None:
    small = chat_file(10)  # it is a command line argument
    check(server, fetch_uploads(f"{server.url}/v1/files", small), small)


def test_curl_sends_json_as_an_urlencoded_form(server: Server) -> None:
    recorded = {"bytes": 5, "filename": "in.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = curl("-d", json.dumps(recorded), f"{server.url}/v1/uploads")
    assert (upload["object"], upload["bytes"], upload["status"]) == ("upload", 5, "pending")


@pytest.mark.parametrize("content_type", [JSON, "text/plain", "application/x-www-form-urlencoded", "nonsense", None])
def test_json_is_accepted_under_any_content_type(server: Server, content_type: str | None) -> None:
    body = b'{"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}'
    headers = {"Content-Type": content_type}
    batch = requests.post(f"{server.url}/v1/batches", data=body, headers=headers, timeout=60).json()
    assert (batch["object"], batch["input_file_id"]) == ("batch", "file-x")


def test_curl_sends_a_part_as_a_plain_field_above_a_mebibyte(server: Server, path: Path) -> None:
    url = f"{server.url}/v1/uploads"
    recorded = {"bytes": len(CONTENT), "filename": "in.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = requests.post(url, json=recorded, timeout=60).json()
    part = curl("-F", f"data=<{path}", f"{url}/{upload['id']}/parts")
    done = curl("-d", json.dumps({"part_ids": [part["id"]]}), f"{url}/{upload['id']}/complete")
    check(server, done["file"])


def form_of(*parts: tuple[str, bytes], disposition: str = "form-data") -> bytes:
    """Return a form with the boundary `b`."""
    heads = (f"--b\r\nContent-Disposition: {disposition}; {names}\r\n\r\n".encode() for names, _ in parts)
    return b"".join(head + content + b"\r\n" for head, (_, content) in zip(heads, parts, strict=True)) + b"--b--\r\n"


PARTS = (
    ('name="file"; filename="in.jsonl"', CONTENT),
    ('name="purpose"', b"batch"),
    ('name="expires_after[anchor]"', b"created_at"),
    ('name="expires_after[seconds]"', b"3600"),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("disposition", ["form-data", "attachment"])
def test_the_parts_of_a_form_come_in_any_order(server: Server, order: tuple[int, ...], disposition: str) -> None:
    groups = (PARTS[:1], PARTS[1:2], PARTS[2:])
    body = form_of(*(part for place in order for part in groups[place]), disposition=disposition)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    file = requests.post(f"{server.url}/v1/files", data=body, headers=headers, timeout=60).json()
    check(server, file)
    assert file["expires_at"] - file["created_at"] == 3600


def test_a_chunked_body_without_a_length_is_accepted(server: Server) -> None:
    body = form_of(*PARTS)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 100_003):
            yield body[start : start + 100_003]

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    check(server, requests.post(f"{server.url}/v1/files", data=chunks(), headers=headers, timeout=60).json())


def expecting_continue(server: Server, path: str, length: int) -> socket.socket:
    """Open a connection and send the headers of a form, with `Expect: 100-continue`."""
    host, _, port = server.http.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    headers = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    connection.sendall(
        f"{headers}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    return connection


def test_expect_100_continue_is_answered_before_the_body_is_sent(server: Server) -> None:
    body = form_of(*PARTS)
    with expecting_continue(server, "/v1/files", len(body)) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, file = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    check(server, json.loads(file))


def test_a_refused_upload_is_answered_before_its_body_is_sent(start: Start) -> None:
    server = start()
    keys(server.data_dir, "create", "--tenant", "red")
    with expecting_continue(server, "/v1/files", 1 << 30) as connection:  # the body is never sent
        answer = b""
        while b"didn't provide an API key" not in answer:
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    assert b"HTTP/1.1 401 Unauthorized\r\n" in answer


@pytest.mark.parametrize("slash", ["", "/"])
def test_curl_cancels_under_a_json_header_and_without_a_body(start: Start, slash: str) -> None:
    url = f"{start('--workers', '0').url}/v1/batches"
    wanted = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = requests.post(url, json=wanted, timeout=60).json()
    cancel = f"{url}/{batch['id']}/cancel{slash}"
    assert curl("-X", "POST", cancel, "-H", f"Content-Type: {JSON}")["status"] == "cancelling"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("files", "batches"), [(f"{each}/files", f"{each}/batches") for each in PREFIXES] + [("/api/files", "/api/v1/batches")])  # fmt: skip
def test_every_path_may_end_in_a_slash(server: Server, files: str, batches: str, slash: str) -> None:
    def send(verb: str, path: str, **more: Any) -> requests.Response:
        """Send a request and assert that it succeeds without a redirect."""
        answer = requests.request(verb, f"{server.url}{path}{slash}", allow_redirects=False, timeout=60, **more)
        assert answer.status_code == 200, (verb, path, answer.text)
        return answer

    form: dict[str, Any] = {"files": {"file": ("in.jsonl", chat_file(1))}, "data": {"purpose": "batch"}}
    file = f"{files}/{send('POST', files, **form).json()['id']}"
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": file.rpartition("/")[2]}
    batch = f"{batches}/{send('POST', batches, json=wanted).json()['id']}"
    for path in (files, file, f"{file}/content", batches, batch):
        send("GET", path)
    send("DELETE", file)
    cancel = requests.post(f"{server.url}{batch}/cancel{slash}", allow_redirects=False, timeout=60)
    assert cancel.status_code in {200, 409}, "it may have ended meanwhile"


def send_with_length(server: Server, body: bytes, length: int) -> bytes:
    """Send a form with a wrong Content-Length, then close for writing. Return the response."""
    host, _, port = server.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


Lie = Callable[[bytes], tuple[bytes, int]]


@pytest.mark.parametrize("lie", [
    lambda body: (body, len(body) - 20), lambda body: (body, len(body) + 20), lambda body: (body[:-7], len(body) - 7),
], ids=["too short a length", "too long a length", "no last boundary"])  # fmt: skip
def test_an_incomplete_form_leaves_no_file(server: Server, lie: Lie) -> None:
    before = requests.get(f"{server.url}/v1/files?purpose=batch", timeout=60).json()["data"]
    body, length = lie(form_of(('name="file"; filename="in.jsonl"', chat_file(1)), ('name="purpose"', b"batch")))
    answer = send_with_length(server, body, length)
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert requests.get(f"{server.url}/v1/files?purpose=batch", timeout=60).json()["data"] == before
