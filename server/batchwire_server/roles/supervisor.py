"""Keeps worker processes alive: starts them fresh, starts them again when they die or stand still, and frees at once what they held."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0
HEALTHY_S = 10.0
QUARANTINE_POLL_S = 1.0
HEARTBEAT_S = 1.0
STEADY_MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Has glibc give back what is freed. By itself it keeps a heap per thread, and in it room for the largest block that the thread ever had."""
STARTUP_TIMEOUT_S = 60.0
"""How long a process may take until its first sign of life."""


@dataclass(frozen=True, slots=True)
class WorkerTimeouts:
    """How many seconds a worker may take to hand over, and may give no sign of life."""

    shutdown_s: float
    silence: float


class Supervisor:
    """Some worker processes, for as long as `run` runs.

    Args:
        names: one per worker.
        settings: JSON.
        release: frees what the worker of a name holds.
        times: how long workers may take.
    """

    def __init__(
        self, names: list[str], settings: str, release: Callable[[str], Awaitable[int]], times: WorkerTimeouts
    ) -> None:
        self._names = names
        self._settings = settings
        self._release = release
        self._times = times

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the workers alive until `stop` is set, then has them hand over and end."""
        await asyncio.gather(stop.wait(), *(self._keep(name, stop) for name in self._names))

    async def _keep(self, name: str, stop: asyncio.Event) -> None:
        delay = FIRST_DELAY_S
        while not stop.is_set():
            started = time.monotonic()
            try:
                status = await run_worker(name, self._settings, stop, self._times)
                log.log(
                    logging.INFO if stop.is_set() else logging.WARNING, "worker %s ended with status %d", name, status
                )
            except OSError:
                log.exception("worker %s could not be started; trying again", name)
            if stop.is_set():
                return
            try:
                await self._release(name)
            except Exception:
                log.exception("what worker %s held could not be freed; its leases run out by themselves", name)
            delay = FIRST_DELAY_S if time.monotonic() - started > HEALTHY_S else min(delay * 2, MAX_DELAY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await stop.wait()


async def run_worker(name: str, settings: str, stop: asyncio.Event, times: WorkerTimeouts, *options: str) -> int:
    """Runs one worker process to its end, which `stop` brings about; returns its exit status.

    Args:
        name: the holder of its leases.
        settings: JSON. It goes in as the first line of the standard input, which then stays open: when that ends, however this process
            ends, the worker ends too.
        stop: has the worker hand over and end.
        times: how long it may take for that, and be silent: one that stands still is ended.
        options: more of the command line.
    """
    command = [sys.executable, "-m", "batchwire_server", "worker", "--name", name, "--settings-from-stdin", *options]
    # A session of its own: Ctrl-C at a terminal is for `serve`, which then has its workers hand over.
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, start_new_session=True, env=STEADY_MEMORY | os.environ
    )
    assert process.stdin
    assert process.stdout
    log.info("worker %s runs as process %d", name, process.pid)
    with suppress(ConnectionError):
        process.stdin.write(settings.encode() + b"\n")
        await process.stdin.drain()
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    listening = asyncio.create_task(_until_silent(process.stdout, times.silence))
    await asyncio.wait({ended, stopping, listening}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    process.stdin.close()
    if listening.done() and not ended.done() and not stop.is_set() and listening.result():
        log.warning("worker %s has given no sign of life for %.0f s; ending it", name, times.silence)
        process.kill()
    try:
        return await asyncio.wait_for(asyncio.shield(ended), times.shutdown_s)
    except TimeoutError:
        log.warning("worker %s did not hand over in %.0f s; ending it", name, times.shutdown_s)
        process.kill()
        return await ended
    finally:
        listening.cancel()


async def _until_silent(pulse: asyncio.StreamReader, silence: float) -> bool:
    """Waits until a process has given no sign of life for so long, and returns True; or until it has closed its end, and returns False.

    Silence must be found twice in a row: a supervisor that stood still itself finds it once for no reason.
    """
    missed, patience = 0, STARTUP_TIMEOUT_S
    while missed < 2:
        try:
            async with asyncio.timeout(patience / 2):
                if not await pulse.read(1024):
                    return False
            missed, patience = 0, silence
        except TimeoutError:
            missed += 1
    return True


async def send_heartbeats() -> None:
    """Tells the supervisor, until cancelled, that this process does not stand still."""
    while True:
        with suppress(OSError):  # the supervisor has ended, which the standard input tells
            os.write(sys.stdout.fileno(), b".")
        await asyncio.sleep(HEARTBEAT_S)


async def keep_quarantine_worker(
    name: str,
    settings: str,
    waits: Callable[[], Awaitable[bool]],
    release: Callable[[str], Awaitable[int]],
    stop: asyncio.Event,
    times: WorkerTimeouts,
) -> None:
    """Runs a worker for the shards that were set aside whenever there are any, until `stop` is set.

    `waits` tells whether there are; the other arguments are those of the Supervisor.
    """
    while not stop.is_set():
        try:
            if await waits():
                status = await run_worker(name, settings, stop, times, "--isolated")
                log.log(logging.WARNING if status else logging.INFO, "worker %s ended with status %d", name, status)
                await release(name)
        except Exception:
            log.exception("what was set aside could not be run; trying again")
        with suppress(TimeoutError):
            async with asyncio.timeout(QUARANTINE_POLL_S):
                await stop.wait()
