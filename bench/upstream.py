"""A mock inference server for OpenAI chat requests, with configurable latency and a log of calls.

    python -m bench.upstream --model mock=uniform:0.005:0.05

Prints its port and serves until standard input ends. Tests use `MockUpstream` in their own process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop

from bench.distributions import Distribution, RateLimit, constant, distribution

MODEL = "mock"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to send.

    Attributes:
        headers: additional headers.
        drop: close the connection instead of responding.
        sent: called once the response was sent to a client that is still connected.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    sent: Callable[[], None] = lambda: None


REFUSAL = Answer(429, b'{"error":{"message":"Too many requests"}}', {"retry-after": "1"})

Behaviour = Callable[[dict[str, Any]], Awaitable[Answer]]


def completion(request: dict[str, Any]) -> bytes:
    """Return a chat completion whose content is the last message of the request."""
    text = request["messages"][-1]["content"]
    tokens = len(text.split())
    return json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens},
        }
    ).encode()


class MockUpstream:
    """A mock upstream on a free port of 127.0.0.1, while its context lasts.

    Args:
        low, high: range of the latency in seconds; uniformly distributed.
        behaviour: returns the answer to a request instead.
        models: names in the response to `GET /v1/models`.

    Attributes:
        calls: the last message of each call, in order of arrival.
        max_in_flight: the largest number of concurrent calls.
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = 0.0,
        behaviour: Behaviour | None = None,
        models: tuple[str, ...] = (MODEL,),
    ) -> None:
        self._low, self._high = low, high
        self._behaviour = behaviour or self._repeat
        self._models = models
        self._random = random.Random(7)
        self._in_flight = 0
        self.calls: list[str] = []
        self.max_in_flight = 0

    async def _repeat(self, request: dict[str, Any]) -> Answer:
        if self._high:
            await asyncio.sleep(self._random.uniform(self._low, self._high))
        return Answer(body=completion(request))

    async def listen(self, port: int) -> None:
        """Listen at a port; 0 means any free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=64 * 1024 * 1024, backlog=1024)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.listen(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    @property
    def base_url(self) -> str:
        """The value for `--upstream`."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = await self._answer(first, body)
                if answer.drop:
                    return
                fields = {"content-type": "application/json", "content-length": str(len(answer.body)), **answer.headers}
                text = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
                writer.write(f"HTTP/1.1 {answer.status} Mock\r\n{text}\r\n".encode() + answer.body)
                await writer.drain()
                if not reader.at_eof():  # the client is still connected
                    answer.sent()
        except (
            asyncio.IncompleteReadError,
            ConnectionError,
            asyncio.CancelledError,
        ):  # asyncio logs a cancelled handler
            return
        finally:
            writer.close()

    async def _answer(self, first: str, body: bytes) -> Answer:
        if first.startswith("GET"):
            listed = [{"id": model, "object": "model", "created": 1, "owned_by": "mock"} for model in self._models]
            return Answer(body=json.dumps({"object": "list", "data": listed}).encode())
        request = json.loads(body)
        self.calls.append(request["messages"][-1]["content"])
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            return await self._behaviour(request)
        finally:
            self._in_flight -= 1


async def serve(models: dict[str, Distribution], rate_limit: RateLimit | None, log: Path | None) -> None:
    """Serve until the standard input ends.

    Args:
        models: latency distribution by model name.
        rate_limit: calls beyond it get a 429 with a Retry-After of one second.
        log: receives one JSON array per call: arrival and response time (monotonic clock), status,
            model, last message.
    """
    source = random.Random(7)
    file = log.open("w", buffering=1) if log else None

    async def behaviour(request: dict[str, Any]) -> Answer:
        arrived = time.monotonic()
        answer = REFUSAL
        if rate_limit is None or rate_limit.allows():
            if seconds := models[request["model"]](source):
                await asyncio.sleep(seconds)
            answer = Answer(body=completion(request))
        if file:
            text = request["messages"][-1]["content"]
            file.write(json.dumps((arrived, time.monotonic(), answer.status, request["model"], text)) + "\n")
        return answer

    async with MockUpstream(behaviour=behaviour, models=tuple(models)) as upstream:
        print(upstream.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    if file:
        file.close()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=DISTRIBUTION",
        help="latency of a model, such as mock=constant:0.2",
    )
    parser.add_argument("--allow", type=float, metavar="PER_SECOND", help="rate limit; excess calls get a 429")
    parser.add_argument("--log", type=Path, help="write a JSON array per call")
    arguments = parser.parse_args()
    models = {name: distribution(spec) for name, _, spec in (option.partition("=") for option in arguments.model)}
    rate_limit = RateLimit(arguments.allow) if arguments.allow else None
    uvloop.run(serve(models or {MODEL: constant(0.0)}, rate_limit, arguments.log))


if __name__ == "__main__":
    main()
