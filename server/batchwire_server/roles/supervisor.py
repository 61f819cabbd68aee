"""Runs worker processes: restarts those that die or hang, and releases their leases at once."""

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
"""First and longest pause before a restart. It doubles until a process lasts `HEALTHY_S`."""

HEALTHY_S = 10.0
QUARANTINE_POLL_S = 1.0
HEARTBEAT_S = 1.0
MALLOC_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Makes glibc return freed memory to the system. By default it keeps a heap per thread, each with
room for the largest block that its thread ever had."""

STARTUP_TIMEOUT_S = 60.0
"""Seconds that a process has to send its first heartbeat."""


@dataclass(frozen=True, slots=True)
class WorkerTimeouts:
    """Timeouts after which a worker process is killed.

    Attributes:
        shutdown_s: seconds that it has to end after it is asked to stop.
        silence_s: seconds that it may send no heartbeat.
    """

    shutdown_s: float
    silence_s: float


class Supervisor:
    """Keeps a number of worker processes running, for as long as `run` runs.

    Args:
        names: the names under which they hold leases, one per process.
        settings: all settings, as JSON.
        release: releases the leases of a name.
        timeouts: when to kill a process.
    """

    def __init__(
        self, names: list[str], settings: str, release: Callable[[str], Awaitable[int]], timeouts: WorkerTimeouts
    ) -> None:
        self._names = names
        self._settings = settings
        self._release = release
        self._timeouts = timeouts

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the processes running until `stop` is set, then shut them down."""
        await asyncio.gather(stop.wait(), *(self._keep(name, stop) for name in self._names))

    async def _keep(self, name: str, stop: asyncio.Event) -> None:
        delay = FIRST_DELAY_S
        while not stop.is_set():
            started = time.monotonic()
            try:
                status = await run_worker(name, self._settings, stop, self._timeouts)
                if stop.is_set():
                    log.info("worker %s ended with status %d", name, status)
                else:
                    log.warning("worker %s ended with status %d; restarting it", name, status)
            except OSError:
                log.exception("starting worker %s failed; trying again", name)
            if stop.is_set():
                return
            try:
                await self._release(name)
            except Exception:
                log.exception("releasing the leases of worker %s failed; they expire by themselves", name)
            delay = FIRST_DELAY_S if time.monotonic() - started > HEALTHY_S else min(delay * 2, MAX_DELAY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await stop.wait()


async def run_worker(name: str, settings: str, stop: asyncio.Event, timeouts: WorkerTimeouts, *options: str) -> int:
    """Run one worker process to its end; return its exit status.

    Args:
        name: the name under which it holds leases.
        settings: all settings, as JSON. They are the first line of its standard input, which then
            stays open. Its end stops the worker, so that it never outlives this process.
        stop: shuts the worker down.
        timeouts: when to kill it.
        options: further options of its command line.
    """
    command = [sys.executable, "-m", "batchwire_server", "worker", "--name", name, "--settings-from-stdin", *options]
    # In a session of its own: Ctrl-C at a terminal reaches `serve` alone, which stops its workers.
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, start_new_session=True, env=MALLOC_ENVIRONMENT | os.environ
    )
    assert process.stdin
    assert process.stdout
    log.info("worker %s started as process %d", name, process.pid)
    with suppress(ConnectionError):
        process.stdin.write(settings.encode() + b"\n")
        await process.stdin.drain()
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    silence = asyncio.create_task(_until_silent(process.stdout, timeouts.silence_s))
    await asyncio.wait({ended, stopping, silence}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    process.stdin.close()
    if silence.done() and not ended.done() and not stop.is_set() and silence.result():
        log.warning("worker %s has sent no heartbeat for %.0f s; killing it", name, timeouts.silence_s)
        process.kill()
    try:
        return await asyncio.wait_for(asyncio.shield(ended), timeouts.shutdown_s)
    except TimeoutError:
        log.warning("worker %s did not shut down within %.0f s; killing it", name, timeouts.shutdown_s)
        process.kill()
        return await ended
    finally:
        silence.cancel()


async def _until_silent(heartbeats: asyncio.StreamReader, silence_s: float) -> bool:
    """Return True once no heartbeat has come for `silence_s`, False once the pipe is closed.

    Two timeouts in a row are needed, each of half the time. If this process itself was suspended,
    the first one may come although heartbeats are waiting to be read.
    """
    missed, timeout_s = 0, STARTUP_TIMEOUT_S
    while missed < 2:
        try:
            async with asyncio.timeout(timeout_s / 2):
                if not await heartbeats.read(1024):
                    return False
            missed, timeout_s = 0, silence_s
        except TimeoutError:
            missed += 1
    return True


async def send_heartbeats() -> None:
    """Write a byte to the standard output every `HEARTBEAT_S`, until cancelled."""
    while True:
        with suppress(OSError):  # the supervisor has ended; the end of the standard input stops this process
            os.write(sys.stdout.fileno(), b".")
        await asyncio.sleep(HEARTBEAT_S)


async def keep_quarantine_worker(
    name: str,
    settings: str,
    is_waiting: Callable[[], Awaitable[bool]],
    release: Callable[[str], Awaitable[int]],
    stop: asyncio.Event,
    timeouts: WorkerTimeouts,
) -> None:
    """Run a worker process for quarantined shards whenever there are any, until `stop` is set.

    `is_waiting` returns True if there are any. The other arguments are those of Supervisor.
    """
    while not stop.is_set():
        try:
            if await is_waiting():
                status = await run_worker(name, settings, stop, timeouts, "--isolated")
                log.log(logging.WARNING if status else logging.INFO, "worker %s ended with status %d", name, status)
                await release(name)
        except Exception:
            log.exception("running quarantined shards failed; trying again in %.0f s", QUARANTINE_POLL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUARANTINE_POLL_S):
                await stop.wait()
