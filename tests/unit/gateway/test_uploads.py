"""Uploads over HTTP: forms of all known senders, and interrupted forms."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import requests
from batchwire import v1
from batchwire_server.gateway.transcoding.forms import MESSAGE_BYTES

from tests.unit.gateway.conftest import RunningGateway, eventually
from tests.unit.gateway.fake_api import Failure
from tests.unit.gateway.senders import curl, requested

LINE = b'{"custom_id": "1"}\n'
BIG = LINE * 150_000  # 2.85 MB: several messages


def form(*parts: tuple[str, bytes], boundary: str = "b0undary", end: bool = True) -> bytes:
    """Return a form of (Content-Disposition, content) parts."""
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    )
    return body + f"--{boundary}--\r\n".encode() if end else body.removesuffix(b"\r\n")


FILE = ('form-data; name="file"; filename="in.jsonl"', LINE)
PURPOSE = ('form-data; name="purpose"', b"batch")
FORM = {"content-type": "multipart/form-data; boundary=b0undary"}


async def test_file_is_streamed_in_messages_of_bounded_size(gateway: RunningGateway) -> None:
    reply = await gateway.http.post("/v1/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", BIG)})
    assert reply.status_code == 200
    assert reply.json()["bytes"] == len(BIG)
    upload = gateway.api.uploads[0]
    assert (bytes(upload.content), upload.outcome) == (BIG, "committed")
    *sizes, last = upload.message_sizes
    assert sizes
    assert all(MESSAGE_BYTES <= size < 2 * MESSAGE_BYTES for size in sizes)
    assert last < 2 * MESSAGE_BYTES


@pytest.mark.parametrize("parts", [(FILE, PURPOSE), (PURPOSE, FILE)])
async def test_parts_may_have_any_order(gateway: RunningGateway, parts: tuple[tuple[str, bytes], ...]) -> None:
    expiry = (
        ('form-data; name="expires_after[anchor]"', b"created_at"),
        ('form-data; name="expires_after[seconds]"', b"3600"),
        ('form-data; name="unknown"', b"ignored"),
    )
    reply = await gateway.http.post("/v1/files", content=form(*parts, *expiry), headers=FORM)
    assert reply.status_code == 200
    expected = v1.UploadFileSpec(filename="in.jsonl", purpose="batch")
    expected.expires_after.MergeFrom(v1.ExpiresAfter(anchor="created_at", seconds=3600))
    assert gateway.api.uploads[0].spec == expected


async def test_content_length_is_optional(gateway: RunningGateway) -> None:
    body = form(FILE, PURPOSE)

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    reply = await requested(requests.post, f"{gateway.url}/v1/files", data=pieces(), headers=FORM)
    assert (reply.status_code, reply.json()["filename"]) == (200, "in.jsonl")


async def test_curl_with_a_json_content_type_and_a_boundary_uploads(gateway: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(BIG)
    header = ("-H", "Content-Type: application/json")
    code, file = await curl(f"{gateway.url}/v1/files", *header, "-F", f"file=@{path}", "-F", "purpose=batch")
    assert (code, file["filename"], file["bytes"]) == (0, "in.jsonl", len(BIG))


async def test_requests_with_a_json_content_type_and_no_boundary_uploads(gateway: RunningGateway) -> None:
    reply = await requested(
        requests.post,
        f"{gateway.url}/v1/files",
        headers={"Content-Type": "application/json"},
        files={"file": ("in.jsonl", BIG)},
        data={"purpose": "batch"},
    )
    assert (reply.status_code, reply.json()["bytes"]) == (200, len(BIG))


async def test_requests_without_a_content_type_uploads(gateway: RunningGateway) -> None:
    files = {"purpose": (None, "batch"), "file": ("in.jsonl", LINE)}
    reply = await requested(requests.post, f"{gateway.url}/v1/files", files=files)
    assert (reply.status_code, reply.json()["purpose"]) == (200, "batch")


async def test_parts_may_be_attachments(gateway: RunningGateway) -> None:
    body = form(('attachment; name="file"; filename="a.jsonl"', LINE), ('attachment; name="purpose"', b"batch"))
    headers = {"content-type": "application/json; boundary=b0undary"}
    reply = await gateway.http.post("/v1/files", content=body, headers=headers)
    assert reply.json()["filename"] == "a.jsonl"


async def test_content_may_be_a_plain_field_of_any_size(gateway: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(BIG)
    code, part = await curl(f"{gateway.url}/v1/uploads/upload_9/parts", "-F", f"data=<{path}")
    assert (code, part["object"], part["upload_id"]) == (0, "upload.part", "upload_9")
    assert bytes(gateway.api.uploads[0].content) == BIG
    await gateway.http.post("/v1/files", data={"purpose": "batch"}, files={"file": (None, BIG)})
    assert gateway.api.uploads[1].spec.filename == "upload"


async def test_curl_gets_100_continue(gateway: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(BIG)
    expecting = ("-H", "Expect: 100-continue", "--expect100-timeout", "60", "--max-time", "10")
    code, file = await curl(f"{gateway.url}/v1/files", *expecting, "-F", f"file=@{path}", "-F", "purpose=batch")
    assert (code, file["bytes"]) == (0, len(BIG))


async def test_filename_in_another_alphabet_is_kept(gateway: RunningGateway) -> None:
    parts = (("form-data; name=file; filename*=UTF-8''%E2%82%AC.jsonl; filename=e.jsonl", LINE), PURPOSE)
    assert (await gateway.http.post("/v1/files", content=form(*parts), headers=FORM)).json()["filename"] == "€.jsonl"
    reply = await requested(
        requests.post, f"{gateway.url}/v1/files", files={"file": ("é.jsonl", LINE)}, data={"purpose": "batch"}
    )
    assert reply.json()["filename"] == "é.jsonl"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (form(PURPOSE), FORM),
        (form(), FORM),
        (b"", FORM),
        (b"", {}),
        (b'{"purpose": "batch"}', {"content-type": "application/json"}),
    ],
)
async def test_form_without_a_file_is_refused(gateway: RunningGateway, body: bytes, headers: dict[str, str]) -> None:
    reply = await gateway.http.post("/v1/files", content=body, headers=headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["message"], error["param"]) == (400, "'file' is a required property", "file")
    await eventually(lambda: all(upload.outcome == "cancelled" for upload in gateway.api.uploads))


async def test_upload_part_without_data_names_data(gateway: RunningGateway) -> None:
    reply = await gateway.http.post("/v1/uploads/upload_1/parts", content=form(FILE), headers=FORM)
    assert reply.json()["error"]["message"] == "'data' is a required property"


async def test_missing_field_is_refused_with_the_apis_message(gateway: RunningGateway) -> None:
    reply = await gateway.http.post("/v1/files", content=form(FILE), headers=FORM)
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert (error["message"], error["param"]) == ("'purpose' is a required property", "purpose")


@pytest.mark.parametrize(
    "body",
    [
        form(FILE, PURPOSE, end=False),
        form(PURPOSE, FILE, end=False),
        form(FILE, FILE, PURPOSE),
        form(FILE, ('form-data; name="purpose"', b"x" * 100_000)),
        form(FILE, ('form-data; name="expires_after[seconds]"', b"soon")),
        form(*[PURPOSE] * 100, FILE),
        b"--b0undary\r\nnonsense\r\n\r\n",
        b"--other\r\n",
    ],
)
async def test_malformed_form_is_refused_and_not_committed(gateway: RunningGateway, body: bytes) -> None:
    reply = await gateway.http.post("/v1/files", content=body, headers=FORM)
    assert reply.status_code == 400, reply.text
    await eventually(lambda: all(upload.outcome == "cancelled" for upload in gateway.api.uploads))
    assert not gateway.api.files


async def test_wrong_type_in_a_form_names_the_field(gateway: RunningGateway) -> None:
    body = form(FILE, PURPOSE, ('form-data; name="expires_after[seconds]"', b"soon"))
    error = (await gateway.http.post("/v1/files", content=body, headers=FORM)).json()["error"]
    assert (
        error["message"] == "Invalid type for 'expires_after.seconds': expected an integer, but got a string instead."
    )
    assert (error["param"], error["code"]) == ("expires_after.seconds", "invalid_type")


@pytest.mark.parametrize("chunked", [False, True])
async def test_disconnect_during_the_form_commits_nothing(gateway: RunningGateway, chunked: bool) -> None:
    body = form(PURPOSE, FILE, end=False)
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000"
    head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['content-type']}\r\n{length}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(head + (b"%x\r\n%b\r\n" % (len(body), body) if chunked else body))
        await eventually(lambda: gateway.api.uploads and gateway.api.uploads[0].spec.purpose)
    await eventually(lambda: gateway.api.uploads[0].outcome == "cancelled")
    assert not gateway.api.files


async def test_disconnect_before_the_reply_cancels_the_rpc(gateway: RunningGateway) -> None:
    gateway.api.hold.clear()
    body = form(PURPOSE, FILE)
    head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\n{'Content-Type'}: {FORM['content-type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(head.encode() + body)
        await eventually(lambda: gateway.api.metadata)
    await eventually(lambda: gateway.api.cancelled)


async def test_upload_that_is_too_large_is_refused_while_it_arrives(gateway: RunningGateway) -> None:
    gateway.api.max_upload_bytes = 1_000_000
    head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['content-type']}\r\nContent-Length: 99999999\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.encode() + form(PURPOSE, (FILE[0], BIG), end=False))
    status = await reader.readline()
    assert status.startswith(b"HTTP/1.1 413")
    reply = await reader.readuntil(b"}}")
    assert b"File is too large." in reply
    assert b"connection: close" in reply
    assert gateway.api.uploads[0].outcome == "refused"
    writer.close()
    await writer.wait_closed()


async def test_real_clients_see_why_an_upload_was_refused(gateway: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(BIG * 4)
    gateway.api.max_upload_bytes = 1_000_000
    code, body = await curl(f"{gateway.url}/v1/files", "-F", "purpose=batch", "-F", f"file=@{path}")
    assert body["error"]["message"] == "File is too large.", code
    await _python_clients_see_the_refusal(gateway, path)


async def test_clients_that_send_first_see_the_refusal_after_draining(
    small_gateway: RunningGateway, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(BIG * 8)
    small_gateway.api.max_upload_bytes = 1_000_000
    await _python_clients_see_the_refusal(small_gateway, path)


async def _python_clients_see_the_refusal(gateway: RunningGateway, path: Path) -> None:
    url = f"{gateway.url}/v1/files"
    with path.open("rb") as file:
        reply = await requested(requests.post, url, files={"file": file}, data={"purpose": "batch"})
    assert (reply.status_code, reply.json()["error"]["message"]) == (413, "File is too large.")
    with path.open("rb") as file:
        answer = await asyncio.to_thread(httpx.post, url, files={"file": file}, data={"purpose": "batch"}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["message"]) == (413, "File is too large.")
    assert {upload.outcome for upload in gateway.api.uploads} == {"refused"}


async def test_credentials_are_checked_before_the_body(gateway: RunningGateway) -> None:
    gateway.api.failures["*"] = Failure(grpc.StatusCode.UNAUTHENTICATED, "Incorrect API key provided: x")
    reply = await gateway.http.post("/v1/files", data={"purpose": "batch"}, files={"file": BIG * 3})
    assert (reply.status_code, reply.json()["error"]["message"]) == (401, "Incorrect API key provided: x")


async def test_slow_api_slows_the_sender(gateway: RunningGateway) -> None:
    gateway.api.hold.clear()
    head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['content-type']}\r\nContent-Length: 999999999\r\n\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(head.encode() + form(PURPOSE, FILE, end=False))
        caller.setblocking(False)
        idle = 0
        while idle < 50 and sent < 200_000_000:
            try:
                sent += caller.send(BIG)
                idle = 0
            except BlockingIOError:
                idle += 1
            await asyncio.sleep(0.01)
    assert sent < 50_000_000
