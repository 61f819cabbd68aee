"""The supervisor, when workers die and when they cannot even be started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from batchwire_server.supervisor import Patience, Supervisor


async def test_what_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    released: list[str] = []

    async def release(name: str) -> int:
        released.append(name)
        return 0

    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor(["a"], "{}", release, Patience(1.0, 30.0)).run(stop))
    async with asyncio.timeout(20):
        while len(released) < 3:  # noqa: ASYNC110 - the list has no event
            await asyncio.sleep(0.01)
    assert not running.done()
    stop.set()
    await running


async def test_without_workers_it_lasts_until_it_is_told_to_end() -> None:
    async def release(_name: str) -> int:
        return 0

    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor([], "{}", release, Patience(1.0, 30.0)).run(stop))
    await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    await running
