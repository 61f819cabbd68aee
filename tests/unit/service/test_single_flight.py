"""Single flight: which caller gets the result of which run."""

from __future__ import annotations

import asyncio

import pytest
from batchwire_server.service.single_flight import SingleFlight


class Lookup:
    """A function that returns the number of its run once `open` is set, and fails for `bad`."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, argument: str) -> int:
        self.arguments.append(argument)
        number = len(self.arguments)
        await self.open.wait()
        if argument == "bad":
            raise ValueError
        return number


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_callers_during_a_run_share_the_next_one() -> None:
    lookup = Lookup()
    single_flight = SingleFlight(lookup)
    first = asyncio.create_task(single_flight("a"))
    await turns()
    others = [asyncio.create_task(single_flight("a")) for _ in range(100)]
    await turns()
    assert lookup.arguments == ["a"]
    lookup.open.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2] * 100
    assert await single_flight("a") == 3


async def test_calls_with_different_arguments_do_not_share() -> None:
    lookup = Lookup()
    lookup.open.set()
    single_flight = SingleFlight(lookup)
    assert await asyncio.gather(*map(single_flight, "aba")) == [1, 2, 1]


async def test_all_sharers_of_a_failed_run_get_its_error_and_later_callers_a_new_run() -> None:
    lookup = Lookup()
    single_flight = SingleFlight(lookup)
    failing = [asyncio.create_task(single_flight("bad")) for _ in range(3)]
    await turns()
    later = asyncio.create_task(single_flight("bad"))
    await turns()
    lookup.open.set()
    for call in (*failing, later):
        with pytest.raises(ValueError):
            await call
    assert lookup.arguments == ["bad", "bad"]


async def test_a_cancelled_caller_does_not_cancel_the_run_of_the_others() -> None:
    lookup = Lookup()
    single_flight = SingleFlight(lookup)
    first, second = (asyncio.create_task(single_flight("a")) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    lookup.open.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first
