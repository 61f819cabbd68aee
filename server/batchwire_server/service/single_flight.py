"""Sharing: one answer for all who ask the same at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Asks once for all who ask while an earlier asking is under way; nobody gets an answer to what was asked before.

    Args:
        ask: answers a question.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        self._next: dict[str, asyncio.Task[Answer]] = {}

    async def __call__(self, question: str) -> Answer:
        """Returns an answer that was not asked for before this call. Raises what asking raises."""
        asking = self._next.get(question)
        if asking is None:
            asking = self._next[question] = asyncio.create_task(self._ask_next(question))
        return await asyncio.shield(asking)  # whoever no longer waits must not take the answer from others

    async def _ask_next(self, question: str) -> Answer:
        if earlier := self._under_way.get(question):
            await asyncio.wait([earlier])
        asking = self._next.pop(question)
        self._under_way[question] = asking
        try:
            return await self._ask(question)
        finally:
            if self._under_way.get(question) is asking:
                del self._under_way[question]
