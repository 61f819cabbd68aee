"""Downloads over HTTP."""

from __future__ import annotations

import socket

import grpc
import httpx
import pytest

from tests.unit.gateway.conftest import RunningGateway, eventually
from tests.unit.gateway.fake_api import Failure

CONTENT = bytes(range(256)) * 4000  # a megabyte: many messages


async def test_download_has_content_headers(gateway: RunningGateway) -> None:
    file = gateway.api.store(CONTENT, 'ou"t\\é.jsonl')
    reply = await gateway.http.get(f"/v1/files/{file.id}/content", headers={"accept": "application/binary"})
    assert (reply.status_code, reply.content) == (200, CONTENT)
    assert reply.headers["content-length"] == str(len(CONTENT))
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"] == f'"{file.sha256}"'
    expected = 'attachment; filename="ou\\"t\\\\_.jsonl"; filename*=UTF-8\'\'ou%22t%5C%C3%A9.jsonl'
    assert reply.headers["content-disposition"] == expected


@pytest.mark.parametrize(
    ("asked", "status", "part", "content_range"),
    [
        ("bytes=0-9", 206, slice(0, 10), f"bytes 0-9/{len(CONTENT)}"),
        ("bytes=100000-", 206, slice(100_000, None), f"bytes 100000-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=-5", 206, slice(-5, None), f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=10-99999999", 206, slice(10, None), f"bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=0-1,5-6", 200, slice(None), None),
        ("lines=0-1", 200, slice(None), None),
    ],
)
async def test_single_range_is_served(
    gateway: RunningGateway, asked: str, status: int, part: slice, content_range: str | None
) -> None:
    file = gateway.api.store(CONTENT)
    reply = await gateway.http.get(f"/v1/files/{file.id}/content", headers={"range": asked})
    assert (reply.status_code, reply.content) == (status, CONTENT[part])
    assert reply.headers.get("content-range") == content_range
    assert reply.headers["content-length"] == str(len(CONTENT[part]))


async def test_range_beyond_the_end_is_a_416_with_the_size(gateway: RunningGateway) -> None:
    file = gateway.api.store(b"123")
    reply = await gateway.http.get(f"/v1/files/{file.id}/content", headers={"range": "bytes=3-"})
    assert (reply.status_code, reply.headers["content-range"]) == (416, "bytes */3")
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_matching_etag_is_a_304(gateway: RunningGateway) -> None:
    file = gateway.api.store(CONTENT)
    reply = await gateway.http.get(f"/v1/files/{file.id}/content", headers={"if-none-match": f'"{file.sha256}"'})
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", f'"{file.sha256}"')


async def test_head_has_the_size_without_the_content(gateway: RunningGateway) -> None:
    file = gateway.api.store(CONTENT)
    reply = await gateway.http.head(f"/v1/files/{file.id}/content")
    assert (reply.status_code, reply.headers["content-length"], reply.content) == (200, str(len(CONTENT)), b"")


async def test_empty_file_is_served(gateway: RunningGateway) -> None:
    file = gateway.api.store(b"")
    for headers in ({}, {"if-none-match": '"other"'}):
        reply = await gateway.http.get(f"/v1/files/{file.id}/content", headers=headers)
        assert (reply.status_code, reply.headers["content-length"], reply.content) == (200, "0", b"")


async def test_unknown_file_is_a_404(gateway: RunningGateway) -> None:
    for headers in ({}, {"range": "bytes=0-1"}):
        reply = await gateway.http.get("/v1/files/nothing/content", headers=headers)
        assert (reply.status_code, reply.json()["error"]["message"]) == (404, "No such File object: nothing")


async def test_failed_download_breaks_the_connection(gateway: RunningGateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.api.failures["after content"] = Failure(grpc.StatusCode.DATA_LOSS, "disk")
    file = gateway.api.store(CONTENT)
    file.bytes += 1
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.http.get(f"/v1/files/{file.id}/content")
    assert "failed with DATA_LOSS: disk" in caplog.text


async def test_disconnected_caller_cancels_the_download(gateway: RunningGateway) -> None:
    file = gateway.api.store(CONTENT * 40)
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(f"GET /v1/files/{file.id}/content HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await eventually(lambda: gateway.api.requests)
    await eventually(lambda: gateway.api.cancelled == ["DownloadFile"])
