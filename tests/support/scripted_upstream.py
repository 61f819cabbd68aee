"""An implementation of the Upstream port whose answers are scripted by the test."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from batchwire_server.core.errors import UnknownModelsError
from batchwire_server.core.records import Model
from batchwire_server.core.results import NoReply, Reply

Answer = Callable[[bytes, int], Awaitable[Reply | NoReply]]
"""Answers the n-th call of a body."""

TIMEOUT_S = 10.0
POLL_S = 0.005


async def fine(body: bytes, _: int) -> Reply | NoReply:
    """Answer with the body itself and one token of usage."""
    return Reply(200, b'{"asked":%b,"usage":{"prompt_tokens":1,"completion_tokens":1}}' % body)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raises TimeoutError after TIMEOUT_S seconds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - conditions of the code under test have no event
            await asyncio.sleep(POLL_S)


class ScriptedUpstream:
    """An Upstream for tests.

    Args:
        answer: returns the answer to a call.
        name: name of the upstream.
        models: names of its models; None makes `models` raise UnknownModelsError.

    Attributes:
        calls: bodies in order of arrival.
        times: number of calls of each body.
        in_flight, most_in_flight: number of concurrent calls, now and at most so far.
        cancelled: number of cancelled calls.
        open: calls wait while it is cleared.
        asked: number of calls of `models`.
    """

    def __init__(self, answer: Answer = fine, *, name: str = "scripted", models: Sequence[str] | None = ("m",)) -> None:
        self._name = name
        self.answer = answer
        self.served = models
        self.calls: list[bytes] = []
        self.times: Counter[bytes] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    @property
    def name(self) -> str:
        """The name of the upstream."""
        return self._name

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """Answer one call."""
        self.calls.append(body)
        self.times[body] += 1
        nth = self.times[body]
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            await self.open.wait()
            return await self.answer(body, nth)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    async def models(self) -> list[Model]:
        """Return its models. Raises UnknownModelsError if it has none scripted."""
        self.asked += 1
        if self.served is None:
            raise UnknownModelsError(f"{self._name} does not say")
        return [Model(model, 0, self._name) for model in self.served]
