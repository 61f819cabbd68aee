"""The trusted header: believed from a trusted proxy, and from no other peer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from batchwire import v1

from tests.support.lines import chat_file
from tests.support.server import Server

PROXY, STRANGER = "127.0.0.2", "127.0.0.1"
WHOLE = [("x-tenant", "red")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts one loopback address and no other."""
    trust = {"BATCHWIRE_TRUSTED_HEADER": "X-Tenant", "BATCHWIRE_TRUSTED_PEERS": f"{PROXY}/32,10.0.0.0/8"}
    with Server(tmp_path_factory.mktemp("trusted"), environment=trust) as server:
        yield server


def ask(
    server: Server, headers: list[tuple[str, str]], path: str = "/v1/files", *, source: str = PROXY
) -> tuple[int, Any]:
    """Send a GET from a source address. Return status and JSON."""
    host, port = server.http.split(":")
    connection = HTTPConnection(host, int(port), timeout=30, source_address=(source, 0))
    connection.putrequest("GET", path)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_the_trusted_header_of_a_trusted_peer_is_the_tenant(server: Server) -> None:
    host, port = server.http.split(":")
    connection = HTTPConnection(host, int(port), timeout=30, source_address=(PROXY, 0))
    form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
    form += (
        b'Content-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + chat_file(1) + b"\r\n--b--\r\n"
    )
    headers = {"X-Tenant": "red", "Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/v1/files", form, headers)
    file = json.loads(connection.getresponse().read())
    connection.close()
    assert ask(server, WHOLE, f"/v1/files/{file['id']}")[0] == 200
    assert ask(server, [("X-TENANT", "blue")], f"/v1/files/{file['id']}")[0] == 404
    assert ask(server, [("x-tenant", "blue")])[1]["data"] == []


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ([], PROXY),
        (WHOLE, STRANGER),
        ([*WHOLE, ("X-Forwarded-For", PROXY), ("Forwarded", f"for={PROXY}"), ("X-Real-IP", PROXY)], STRANGER),
        ([*WHOLE, ("batchwire-peer", PROXY), ("batchwire-gateway", "guess")], STRANGER),
        ([*WHOLE, ("x-tenant", "blue")], PROXY),
        ([("x-tenant", "")], PROXY),
        ([("x-tenant", "red blue")], PROXY),
        ([("x-tenant", "red\xe9")], PROXY),
    ],
    ids=["no header", "untrusted peer", "forwarded", "internal metadata", "twice", "empty", "two values", "not ASCII"],
)
def test_untrusted_peers_and_invalid_headers_are_refused(
    server: Server, headers: list[tuple[str, str]], source: str
) -> None:
    status, body = ask(server, headers, source=source)
    assert status == 401, body
    assert body["error"]["message"]


@pytest.mark.parametrize(
    "more", [[], [("batchwire-peer", PROXY)], [("batchwire-peer", PROXY), ("batchwire-gateway", "")]]
)
def test_trusted_metadata_of_an_untrusted_grpc_peer_is_refused(server: Server, more: list[tuple[str, str]]) -> None:
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        v1.FileServiceStub(channel).ListFiles(v1.ListFilesRequest(), metadata=(*WHOLE, *more), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
