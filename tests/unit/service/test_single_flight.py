"""Shared: who gets whose answer."""

from __future__ import annotations

import asyncio

import pytest
from batchwire_server.service.single_flight import SingleFlight


class Oracle:
    """Answers with the number of the asking, once it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, question: str) -> int:
        self.asked.append(question)
        number = len(self.asked)
        await self.open.wait()
        if question == "bad":
            raise ValueError
        return number


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_asks_while_it_is_being_asked_gets_the_next_answer_together_with_others() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle)
    first = asyncio.create_task(shared("a"))
    await turns()
    others = [asyncio.create_task(shared("a")) for _ in range(100)]
    await turns()
    assert oracle.asked == ["a"]
    oracle.open.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2] * 100
    assert await shared("a") == 3


async def test_each_question_has_an_answer_of_its_own() -> None:
    oracle = Oracle()
    oracle.open.set()
    shared = SingleFlight(oracle)
    answers = await asyncio.gather(*map(shared, "aba"))
    assert answers == [1, 2, 1]


async def test_a_failure_is_told_to_all_who_share_it_and_to_nobody_after() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle)
    failing = [asyncio.create_task(shared("bad")) for _ in range(3)]
    await turns()
    later = asyncio.create_task(shared("bad"))
    await turns()
    oracle.open.set()
    for asking in (*failing, later):
        with pytest.raises(ValueError):
            await asking
    assert oracle.asked == ["bad", "bad"]


async def test_whoever_gives_up_does_not_take_the_answer_from_others() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle)
    first, second = (asyncio.create_task(shared("a")) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    oracle.open.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first
