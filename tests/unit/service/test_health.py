"""Health, looked at part by part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.service import health
from batchwire_server.service.health import HealthChecks

from tests.support.scripted_upstream import until


class Part:
    """A part that can be out of order, or say nothing."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.silent = False
        self.looks = 0

    async def __call__(self) -> None:
        self.looks += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error:
            raise self.error


@asynccontextmanager
async def looked_at(**parts: Part) -> AsyncIterator[list[tuple[str, bool]]]:
    told: list[tuple[str, bool]] = []

    async def changed(part: str, fine: bool) -> None:
        told.append((part, fine))

    running = asyncio.create_task(HealthChecks(parts, interval=0.005).run(changed))
    yield told
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_is_fine_is_no_news() -> None:
    part = Part()
    async with looked_at(database=part) as told:
        await until(lambda: part.looks > 2)
        assert told == []


@pytest.mark.parametrize("error", [OutOfReachError(Component.DATABASE, "it is gone"), ValueError("whatever")])
async def test_a_part_that_fails_and_is_fine_again_is_told_once_each(error: Exception) -> None:
    part, other = Part(), Part()
    async with looked_at(database=part, blobs=other) as told:
        part.error = error
        await until(lambda: told)
        looks = part.looks
        await until(lambda: part.looks > looks + 2)
        part.error = None
        await until(lambda: len(told) > 1)
        assert told == [("database", False), ("database", True)]


async def test_a_part_that_says_nothing_is_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.02)
    part = Part()
    part.silent = True
    async with looked_at(blobs=part) as told:
        await until(lambda: told)
        assert told == [("blobs", False)]
