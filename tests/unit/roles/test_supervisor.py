"""The supervisor: workers that cannot start, hang, or end by themselves."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from batchwire_server.roles import supervisor
from batchwire_server.roles.supervisor import Supervisor, WorkerTimeouts, run_worker


async def test_a_worker_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    released: list[str] = []

    async def release(name: str) -> int:
        released.append(name)
        return 0

    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor(["a"], "{}", release, WorkerTimeouts(1.0, 30.0)).run(stop))
    async with asyncio.timeout(20):
        while len(released) < 3:  # noqa: ASYNC110 - the list has no event
            await asyncio.sleep(0.01)
    assert not running.done()
    stop.set()
    await running


async def test_a_supervisor_without_workers_runs_until_it_is_stopped() -> None:
    async def release(_name: str) -> int:
        return 0

    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor([], "{}", release, WorkerTimeouts(1.0, 30.0)).run(stop))
    await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    await running


def a_program(folder: Path, body: str) -> str:
    """Return the path of a shell script that runs in place of a worker."""
    program = folder / "worker"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


async def test_a_worker_without_heartbeats_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", a_program(tmp_path, "printf .; exec sleep 60"))
    status = await run_worker("w", "{}", asyncio.Event(), WorkerTimeouts(20.0, 0.2))
    assert status == -signal.SIGKILL


async def test_a_worker_that_never_sends_a_heartbeat_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "STARTUP_TIMEOUT_S", 0.2)
    monkeypatch.setattr(sys, "executable", a_program(tmp_path, "exec sleep 60"))
    status = await run_worker("w", "{}", asyncio.Event(), WorkerTimeouts(20.0, 0.2))
    assert status == -signal.SIGKILL


async def test_a_worker_with_heartbeats_runs_to_its_own_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        sys, "executable", a_program(tmp_path, "for i in 1 2 3 4 5; do printf .; sleep 0.2; done; exit 7")
    )
    assert await run_worker("w", "{}", asyncio.Event(), WorkerTimeouts(20.0, 2.0)) == 7
