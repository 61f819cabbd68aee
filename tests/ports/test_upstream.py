"""Behaviour of every Upstream, and of HttpUpstream when a server fails."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio
from batchwire_server.adapters.upstreams.echo import EchoUpstream
from batchwire_server.adapters.upstreams.openai_http import HttpUpstream, normal_base_url, parse_retry_after
from batchwire_server.core.errors import UnknownModelsError
from batchwire_server.core.limits import ENDPOINTS
from batchwire_server.core.results import NoReply, NoReplyKind, Reply, read_usage

CHAT = "/v1/chat/completions"
Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def say(data: bytes) -> Behaviour:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


async def reset(_: bytes, writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """A small HTTP server with scripted responses, which records the requests."""

    def __init__(self) -> None:
        self.behave: Behaviour = say(reply())
        self.requests: list[bytes] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    body = await reader.readexactly(int(size[0].split(b":")[1])) if size else b""
                    self.requests.append(head + body)
                    await self.behave(head + body, writer)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        handling: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            handling.add(asyncio.create_task(self.handle(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await server.wait_closed()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().running() as running:
        yield running


@pytest_asyncio.fixture
async def http(server: Server) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream("gpu", server.url, "secret", timeout=20.0)
    yield upstream
    await upstream.close()


@pytest_asyncio.fixture(params=["echo", "http"])
async def upstream(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[EchoUpstream | HttpUpstream]:
    """Yield each adapter. Behind the one over HTTP is the built-in model."""
    echo = EchoUpstream()

    async def behave(said: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, body = said.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        if path == "/v1/models":
            listed = [{"id": model.id, "created": model.created} for model in await echo.models()]
            writer.write(reply(json.dumps({"object": "list", "data": listed}).encode()))
            return
        answer = await echo.call(path, body)
        assert isinstance(answer, Reply)
        writer.write(reply(answer.body, f"{answer.status} X", f"x-request-id: {answer.request_id}"))

    server.behave = behave
    made = echo if request.param == "echo" else HttpUpstream("echo", server.url, None, timeout=20.0)
    yield made
    await made.close()


def answered(result: Reply | NoReply) -> Reply:
    assert isinstance(result, Reply), result
    return result


def unanswered(result: Reply | NoReply) -> NoReplyKind:
    assert isinstance(result, NoReply), result
    return result.kind


class TestEveryUpstream:
    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    async def test_every_endpoint_returns_json(self, upstream: EchoUpstream | HttpUpstream, endpoint: str) -> None:
        body = b'{"model":"echo","input":"a b","prompt":"a b","messages":[{"role":"user","content":"a b"}]}'
        result = answered(await upstream.call(endpoint, body))
        assert result.status == 200
        assert json.loads(result.body)["model"] == "echo"
        assert read_usage(result.body) is not None
        assert result.request_id

    async def test_equal_requests_get_equal_replies(self, upstream: EchoUpstream | HttpUpstream) -> None:
        body = b'{"model":"echo","messages":[{"content":"a"}]}'
        assert await upstream.call(CHAT, body) == await upstream.call(CHAT, body)

    async def test_an_unknown_endpoint_returns_404(self, upstream: EchoUpstream | HttpUpstream) -> None:
        assert answered(await upstream.call("/v1/nowhere", b"{}")).status == 404

    async def test_models_are_listed(self, upstream: EchoUpstream | HttpUpstream) -> None:
        assert [model.id for model in await upstream.models()] == ["echo"]
        assert upstream.name == "echo"

    async def test_concurrent_calls_get_their_own_replies(self, upstream: EchoUpstream | HttpUpstream) -> None:
        bodies = [b'{"model":"echo","messages":[{"content":"%d"}]}' % number for number in range(60)]
        results = await asyncio.gather(*(upstream.call(CHAT, body) for body in bodies))
        texts = [json.loads(answered(one).body)["choices"][0]["message"]["content"] for one in results]
        assert texts == [str(number) for number in range(60)]


class TestEcho:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"model":"echo","x":1e400}',
            b'{"model":"echo","messages":5}',
            b'{"model":"echo","messages":true}',
            b'{"model":"echo","messages":[5,null,{"content":[1,{"text":null}]}]}',
            b'{"model":"echo","input":{"a":1},"prompt":null}',
            b'{"model":"echo","input":[[1,2],[3]]}',
            b"[]",
        ],
    )
    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    async def test_echo_never_raises_for_a_valid_body(self, body: bytes, endpoint: str) -> None:
        assert isinstance(await EchoUpstream().call(endpoint, body), Reply)

    async def test_echo_reports_usage(self) -> None:
        body = b'{"model":"echo","messages":[{"content":"one two"},{"content":"three"}]}'
        usage = read_usage(answered(await EchoUpstream().call(CHAT, body)).body)
        assert usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 1, 4)


class TestHttpCalls:
    async def test_the_body_is_sent_unchanged_with_api_key_and_content_type(
        self, server: Server, http: HttpUpstream
    ) -> None:
        body = '{"model":"m","x":1e400,"y":0.10,"z":"\\u00fc ü"}'.encode()
        await http.call(CHAT, body)
        head, _, sent = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        lines = head.lower().split(b"\r\n")
        assert b"authorization: bearer secret" in lines
        assert b"content-type: application/json" in lines
        assert sent == body

    async def test_without_an_api_key_no_authorization_is_sent(self, server: Server) -> None:
        upstream = HttpUpstream("gpu", server.url, None, timeout=20.0)
        await upstream.call(CHAT, b"{}")
        assert b"authorization" not in server.requests[0].lower()
        await upstream.close()

    async def test_the_reply_is_returned_unchanged(self, server: Server, http: HttpUpstream) -> None:
        body = b'{\r\n "x": 1e400, "y": "\\ud83d\\ude00" }'
        server.behave = say(reply(body, "200 OK", "X-Request-Id: req-7"))
        assert await http.call(CHAT, b"{}") == Reply(200, body, "req-7", None)

    @pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 408, 409, 418, 425, 429, 500, 502, 503])
    async def test_every_status_is_a_reply(self, server: Server, http: HttpUpstream, status: int) -> None:
        server.behave = say(reply(b"" if status == 204 else b"no", f"{status} X"))
        assert answered(await http.call(CHAT, b"{}")).status == status

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_a_reply_and_is_not_followed(
        self, server: Server, http: HttpUpstream, status: int
    ) -> None:
        server.behave = say(reply(b"", f"{status} X", f"Location: {server.url}/elsewhere"))
        assert answered(await http.call(CHAT, b"{}")).status == status
        assert len(server.requests) == 1

    async def test_a_chunked_response_is_joined(self, server: Server, http: HttpUpstream) -> None:
        server.behave = say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
        assert answered(await http.call(CHAT, b"{}")).body == b"{}"

    async def test_headers_that_are_not_text_are_ignored(self, server: Server, http: HttpUpstream) -> None:
        server.behave = say(
            reply(b"{}", "429 X", "X-Request-Id: \xff\xfe", "Server: gr\xfc\xdfe", "Retry-After: 3", "X-Odd: \xe4")
        )
        result = answered(await http.call(CHAT, b"{}"))
        assert (result.status, result.body, result.retry_after) == (429, b"{}", 3.0)


class TestHttpFailures:
    async def test_its_own_proxy_gets_all_requests_whatever_no_proxy_says(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_PROXY", "*")
        upstream = HttpUpstream("near", "http://127.0.0.1:9", None, timeout=20.0, proxy=server.url)
        answered(await upstream.call("/v1/chat/completions", b"{}"))
        await upstream.close()
        assert server.requests[0].startswith(b"POST http://127.0.0.1:9/v1/chat/completions ")

    @pytest.mark.parametrize(("no_proxy", "calls"), [("other.invalid", 1), ("gpu.invalid", 0), (".invalid", 0)])
    async def test_without_its_own_a_proxy_of_the_environment_counts_unless_exempted(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, no_proxy: str, calls: int
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        upstream = HttpUpstream("gpu", "http://gpu.invalid", None, timeout=20.0)
        result = await upstream.call("/v1/chat/completions", b"{}")
        await upstream.close()
        assert (len(server.requests), isinstance(result, Reply)) == (calls, calls == 1)

    async def test_a_proxy_that_is_down_makes_it_unreachable(self) -> None:
        upstream = HttpUpstream("gpu", "http://gpu.invalid", None, timeout=20.0, proxy="http://127.0.0.1:1")
        result = await upstream.call("/v1/chat/completions", b"{}")
        await upstream.close()
        assert isinstance(result, NoReply)
        assert result.kind is NoReplyKind.UNREACHABLE

    async def test_a_refused_connection_is_unreachable(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        upstream = HttpUpstream("gone", f"http://127.0.0.1:{port}", None, timeout=20.0)
        assert unanswered(await upstream.call(CHAT, b"{}")) is NoReplyKind.UNREACHABLE
        with pytest.raises(UnknownModelsError):
            await upstream.models()
        await upstream.close()

    async def test_an_unknown_host_is_unreachable(self) -> None:
        upstream = HttpUpstream("gone", "http://nowhere.invalid", None, timeout=20.0)
        assert unanswered(await upstream.call(CHAT, b"{}")) is NoReplyKind.UNREACHABLE
        await upstream.close()

    async def test_a_reset_connection_is_broken(self, server: Server, http: HttpUpstream) -> None:
        server.behave = reset
        assert unanswered(await http.call(CHAT, b"{}")) is NoReplyKind.BROKEN

    @pytest.mark.parametrize(
        "half",
        [
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        ],
    )
    async def test_a_truncated_response_is_broken(self, server: Server, http: HttpUpstream, half: bytes) -> None:
        async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(half)
            await writer.drain()
            writer.close()

        server.behave = behave
        assert unanswered(await http.call(CHAT, b"{}")) is NoReplyKind.BROKEN

    @pytest.mark.parametrize("garbage", [b"\x00\x01\x02\x03\r\n\r\n", b"HTTP/9.9 what\r\n\r\n", b"220 smtp ready\r\n"])
    async def test_a_response_that_is_not_http_is_broken(
        self, server: Server, http: HttpUpstream, garbage: bytes
    ) -> None:
        async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(garbage)
            await writer.drain()
            writer.close()

        server.behave = behave
        assert unanswered(await http.call(CHAT, b"{}")) is NoReplyKind.BROKEN

    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
    async def test_a_stalled_response_is_a_timeout(self, server: Server, start: bytes) -> None:
        async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(start)
            await asyncio.Event().wait()

        server.behave = stall
        upstream = HttpUpstream("slow", server.url, None, timeout=0.3)
        assert unanswered(await upstream.call(CHAT, b"{}")) is NoReplyKind.TIMEOUT
        await upstream.close()

    async def test_a_cancelled_call_ends_at_once_and_leaves_the_client_usable(
        self, server: Server, http: HttpUpstream
    ) -> None:
        reached = asyncio.Event()

        async def stall(_: bytes, __: asyncio.StreamWriter) -> None:
            reached.set()
            await asyncio.Event().wait()

        server.behave = stall
        call = asyncio.create_task(http.call(CHAT, b"{}"))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.behave = say(reply(b"[]"))
        assert answered(await http.call(CHAT, b"{}")).body == b"[]"

    async def test_after_every_failure_the_next_call_works(self, server: Server, http: HttpUpstream) -> None:
        for _ in range(3):
            server.behave = reset
            unanswered(await http.call(CHAT, b"{}"))
            server.behave = say(reply())
            answered(await http.call(CHAT, b"{}"))


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 503, 500, 404])
    async def test_error_responses_carry_retry_after(self, server: Server, http: HttpUpstream, status: int) -> None:
        server.behave = say(reply(b"{}", f"{status} X", "Retry-After: 7"))
        assert answered(await http.call(CHAT, b"{}")).retry_after == 7.0

    async def test_successful_responses_carry_no_retry_after(self, server: Server, http: HttpUpstream) -> None:
        server.behave = say(reply(b"{}", "200 X", "Retry-After: 7"))
        assert answered(await http.call(CHAT, b"{}")).retry_after is None

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "0"}, 0.0),
            ({"retry-after": "30"}, 30.0),
            ({"retry-after": " 2.5 "}, 2.5),
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
            ({"retry-after-ms": "-1"}, 0.0),
            ({"retry-after": "soon"}, None),
            ({"retry-after": ""}, None),
            ({"retry-after": "-3"}, None),
            ({"retry-after": "²"}, None),
            ({"retry-after-ms": "x"}, None),
        ],
    )
    def test_each_form_of_retry_after_is_parsed(self, headers: dict[str, str], seconds: float | None) -> None:
        assert parse_retry_after(headers.get("retry-after-ms"), headers.get("retry-after"), 0.0) == seconds

    def test_a_retry_after_date_is_relative_to_now(self) -> None:
        now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
        later, earlier = (format_datetime(now + timedelta(seconds=shift), usegmt=True) for shift in (90, -90))
        assert parse_retry_after(None, later, now.timestamp()) == 90.0
        assert parse_retry_after(None, earlier, now.timestamp()) == 0.0

    @pytest.mark.parametrize("value", ["inf", "1e300", "nan"])
    def test_retry_after_is_at_most_a_day(self, value: str) -> None:
        seconds = parse_retry_after(value, None, 0.0)
        assert seconds is None or 0.0 <= seconds < 366 * 86400


class TestModels:
    async def test_a_model_list_in_openais_form_is_parsed(self, server: Server, http: HttpUpstream) -> None:
        server.behave = say(reply(b'{"data":[{"id":"a","created":5,"owned_by":"me","x":1},{"id":"b"}]}'))
        assert [(model.id, model.created, model.owned_by) for model in await http.models()] == [
            ("a", 5, "me"),
            ("b", 0, "gpu"),
        ]
        assert server.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        "said",
        [
            reply(b"no", "500 X"),
            reply(b"<html>"),
            reply(b"[]"),
            reply(b'{"data":[{"name":"a"}]}'),
            reply(b'{"data":' + b"[" * 100_000),
            reply(b"", "302 X", "Location: /elsewhere"),
            b"garbage\r\n\r\n",
        ],
    )
    async def test_an_upstream_without_a_valid_list_raises_unknown_models(
        self, server: Server, http: HttpUpstream, said: bytes
    ) -> None:
        server.behave = say(said)
        with pytest.raises(UnknownModelsError):
            await http.models()


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://gpu-1:8000", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/", "http://gpu-1:8000/v1"),
        ("https://api.example/openai/v1", "https://api.example/openai/v1"),
    ],
)
def test_a_base_url_without_a_path_gets_v1(given: str, normal: str) -> None:
    assert normal_base_url(given) == normal
