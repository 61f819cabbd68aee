"""Fuzzing: no request causes a 500, a hang or a lost byte."""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.invariants import ENDS, check_ended
from tests.support.lines import chat_line, jsonl
from tests.support.server import Server, wait_until

TIMEOUT_S = 20
HUNT = os.environ.get("HYPOTHESIS_PROFILE") == "hunt"


def examples(count: int) -> settings:
    """Return settings with `count` examples, or with all of the profile `hunt`."""
    return settings() if HUNT else settings(max_examples=count)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A separate server, so that fuzzing does not affect other tests."""
    with Server(tmp_path_factory.mktemp("fuzz")) as server:
        yield server


@dataclass(frozen=True)
class Answer:
    """A parsed response."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(server: Server, head: list[str], pieces: list[bytes], *, chunked: bool) -> Answer:
    """Send raw bytes and return the response. Raises TimeoutError if the server hangs."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
    lines = "\r\n".join([*head, f"Host: {server.http}", framing, "Connection: close", "", ""])
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
        try:
            connection.sendall(lines.encode("latin-1"))
            for piece in pieces:
                if piece:
                    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                connection.sendall(b"0\r\n\r\n")
        except ConnectionError:  # the server may respond and close before it has read everything
            pass
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def check(answer: Answer) -> None:
    """Check what must hold of every response."""
    assert answer.status < 500, answer
    assert answer.headers["x-request-id"]
    if answer.status >= 400:
        error = json.loads(answer.body)["error"]
        assert error["message"]
        assert set(error) == {"message", "type", "param", "code"}


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Cut a body at some offsets."""
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[start:end] for start, end in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=6)
contents = st.builds(
    lambda rest: b'{"custom_id":"a"}\n' + rest,
    st.one_of(
        st.binary(max_size=2000),
        st.lists(st.sampled_from([b"\r\n", b"--", b"\r\n--", b"x", b"\r", b"\n", b"-"]), max_size=60).map(b"".join),
    ),
)
boundaries = st.text("abcXYZ0189'()+_,-./:=?", min_size=1, max_size=70)


@st.composite
def forms(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """Draw a well-formed form: its content type, its body and the file content in it."""
    content, boundary = draw(contents), draw(boundaries)
    mark = b"--" + boundary.encode()
    assume(mark not in content)
    kind = draw(st.sampled_from(["form-data", "attachment"]))
    header = draw(st.sampled_from(["Content-Disposition", "content-disposition", "CONTENT-DISPOSITION"]))
    more = draw(st.sampled_from(["", "Content-Type: application/octet-stream\r\n", "X-Other: a; name=b\r\n"]))
    name = draw(st.sampled_from(["in.jsonl", "a b.jsonl", "ü.jsonl", "x;y.jsonl"]))
    file = f'{header}: {kind}; name="file"; filename="{name}"\r\n{more}\r\n'.encode() + content
    purpose = f'{header}: {kind}; name="purpose"\r\n\r\nbatch'.encode()
    ignored = f'{header}: {kind}; name="else"\r\n\r\nwhatever'.encode()
    parts = draw(st.permutations([file, purpose, *([ignored] if draw(st.booleans()) else [])]))
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    types = [f'multipart/form-data; boundary="{boundary}"', f'application/json; boundary="{boundary}"']
    if len(boundary) < 70 and not boundary.endswith("-"):
        types.append("application/json")  # the boundary is then only in the body
    return draw(st.sampled_from(types)), body, content


@examples(300)
@given(form=forms(), places=cuts, chunked=st.booleans())
def test_any_valid_form_uploads_every_byte(
    server: Server, form: tuple[str, bytes, bytes], places: list[int], chunked: bool
) -> None:
    kind, body, content = form
    head = ["POST /v1/files HTTP/1.1", f"Content-Type: {kind}"]
    answer = send(server, head, cut(body, places), chunked=chunked)
    check(answer)
    assert answer.status == 200, (answer, kind, body)
    file = json.loads(answer.body)
    assert file["bytes"] == len(content)
    assert requests.get(f"{server.url}/v1/files/{file['id']}/content", timeout=TIMEOUT_S).content == content


@examples(400)
@given(
    form=forms(),
    places=cuts,
    chunked=st.booleans(),
    start=st.integers(0, 1 << 12),
    length=st.integers(0, 200),
    put=st.binary(max_size=20),
)
def test_a_damaged_form_causes_no_server_error(
    server: Server,
    form: tuple[str, bytes, bytes],
    places: list[int],
    chunked: bool,
    start: int,
    length: int,
    put: bytes,
) -> None:
    kind, body, _ = form
    at = start % (len(body) + 1)
    damaged = body[:at] + put + body[at + length :]
    head = ["POST /v1/files HTTP/1.1", f"Content-Type: {kind}"]
    answer = send(server, head, cut(damaged, places), chunked=chunked)
    check(answer)
    if answer.status == 200:
        file = json.loads(answer.body)
        read = requests.get(f"{server.url}/v1/files/{file['id']}/content", timeout=TIMEOUT_S).content
        assert len(read) == file["bytes"]
        assert read in damaged


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", "replace", "bytes"]
FIELDS += ["filename", "purpose", "mime_type", "part_ids", "md5", "expires_after", "idempotency_key", "line_rules"]
likely = st.one_of(
    values,
    st.sampled_from(
        ["/v1/chat/completions", "24h", "batch", {"anchor": "created_at", "seconds": 3600}, {"model": "m"}, 10, ["x"]]
    ),
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), likely, max_size=8).map(lambda value: json.dumps(value).encode()),
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.just(b"[" * 5000),
)


@pytest.fixture(scope="module")
def routes(server: Server) -> list[tuple[str, str]]:
    """The method and path of each route in the OpenAPI document, of all dialects."""
    document = requests.get(f"{server.url}/openapi.json", timeout=TIMEOUT_S).json()
    found = [
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    ]
    assert len(found) > 50
    return found


@examples(800)
@given(
    data=st.data(),
    body=bodies,
    query=st.dictionaries(
        st.sampled_from(["limit", "after", "order", "purpose", "offset", "api-version", "x"]),
        st.text(max_size=20),
        max_size=3,
    ),
)
def test_no_body_and_no_query_causes_a_server_error(
    server: Server, routes: list[tuple[str, str]], data: st.DataObject, body: bytes, query: dict[str, str]
) -> None:
    method, template = data.draw(st.sampled_from(routes))
    path = template
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(data.draw(st.text(min_size=1, max_size=20)), safe="") + rest.partition("}")[2]
    recorded = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
    head = [f"{method} {path}?{recorded} HTTP/1.1", "Content-Type: application/json"]
    answer = send(server, head, [body] if method == "POST" else [], chunked=False)
    assert answer.status < 500, (method, path, recorded, body, answer)
    assert answer.headers["x-request-id"]


def line_of_id(number: int) -> bytes:
    return jsonl([chat_line(f"line-{number}")])


lines = st.lists(
    st.one_of(
        st.integers(0, 30).map(line_of_id),
        st.sampled_from([b"\n", b"\r\n", b" \n", b"{}\n", b"null\n", b"\xff\n", b'{"custom_id":"x"}\n']),
        st.builds(
            lambda value: jsonl([chat_line("odd", extra=value)]),
            values,
        ),
        st.builds(
            lambda key, value: jsonl([chat_line("odd") | {key: value}]),
            st.sampled_from(["custom_id", "url", "method", "body"]),
            values,
        ),
    ),
    max_size=6,
)


@examples(60)
@given(found=lines)
def test_a_batch_of_any_lines_ends_and_keeps_the_invariants(server: Server, found: list[bytes]) -> None:
    content = line_of_id(99) + b"".join(found)
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", content)}}
    file = requests.post(f"{server.url}/v1/files", timeout=TIMEOUT_S, **form).json()
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = requests.post(f"{server.url}/v1/batches", json=wanted, timeout=TIMEOUT_S).json()
    url = f"{server.url}/v1/batches/{batch['id']}"
    wait_until(lambda: requests.get(url, timeout=TIMEOUT_S).json()["status"] in ENDS, within=TIMEOUT_S)
    sent = b"".join(line + b"\n" for line in content.split(b"\n") if line.strip(b" \r"))
    assert check_ended(server.url, batch["id"], sent).batch["status"] in {"completed", "failed"}
