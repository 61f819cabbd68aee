"""An upstream that answers as a test tells it to, behind the port that the real ones stand behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from batchwire_server.core.errors import UnknownModelsError
from batchwire_server.core.records import Model
from batchwire_server.core.results import NoReply, Reply

Answer = Callable[[bytes, int], Awaitable[Reply | NoReply]]
"""Answers a body that is called for the n-th time."""

PATIENCE_S = 10.0
LOOK_S = 0.005


async def fine(body: bytes, _: int) -> Reply | NoReply:
    """Answer with the body itself and a token of usage."""
    return Reply(200, b'{"asked":%b,"usage":{"prompt_tokens":1,"completion_tokens":1}}' % body)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raises TimeoutError when it does not come to hold for long."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of the code under test have no event
            await asyncio.sleep(LOOK_S)


class ScriptedUpstream:
    """The Upstream of tests.

    Args:
        answer: what it answers.
        name: what the operator calls it.
        models: the names that it tells; None when it does not tell.

    Attributes:
        calls: the bodies, as they came.
        times: how often each body came.
        in_flight, most_in_flight: calls that are being made, and the most that ever were.
        cut: calls that were cancelled.
        open: while it is cleared, calls wait.
        asked: how often it was asked for its models.
    """

    def __init__(self, answer: Answer = fine, *, name: str = "scripted", models: Sequence[str] | None = ("m",)) -> None:
        self._name = name
        self.answer = answer
        self.served = models
        self.calls: list[bytes] = []
        self.times: Counter[bytes] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.cut = 0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return self._name

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """Make one call."""
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
            self.cut += 1
            raise
        finally:
            self.in_flight -= 1

    async def models(self) -> list[Model]:
        """Return the models that it serves. Raises UnknownModelsError when it does not tell."""
        self.asked += 1
        if self.served is None:
            raise UnknownModelsError(f"{self._name} does not say")
        return [Model(model, 0, self._name) for model in self.served]
