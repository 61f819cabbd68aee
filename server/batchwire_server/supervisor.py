"""Keeps worker processes alive: starts them fresh, starts them again when they die, and frees at once what they held."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0
HEALTHY_S = 10.0


class Supervisor:
    """Some worker processes, for as long as `run` runs.

    A worker gets its settings as the first line of its standard input, which then stays open: when it ends, however this process ends, the
    worker ends too.

    Args:
        names: one per worker.
        settings: JSON.
        release: frees what the worker of a name holds.
        grace: seconds that a worker may take to hand over.
    """

    def __init__(self, names: list[str], settings: str, release: Callable[[str], Awaitable[int]], grace: float) -> None:
        self._names = names
        self._settings = settings
        self._release = release
        self._grace = grace
        self.pids: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the workers alive until `stop` is set, then has them hand over and end."""
        await asyncio.gather(stop.wait(), *(self._keep(name, stop) for name in self._names))

    async def _keep(self, name: str, stop: asyncio.Event) -> None:
        delay = FIRST_DELAY_S
        while not stop.is_set():
            started = time.monotonic()
            try:
                status = await self._run_once(name, stop)
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

    async def _run_once(self, name: str, stop: asyncio.Event) -> int:
        command = [sys.executable, "-m", "batchwire_server", "worker", "--name", name, "--settings-from-stdin"]
        # A session of its own: Ctrl-C at a terminal is for `serve`, which then has its workers hand over.
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, start_new_session=True)
        assert process.stdin
        self.pids[name] = process.pid
        log.info("worker %s runs as process %d", name, process.pid)
        with suppress(ConnectionError):
            process.stdin.write(self._settings.encode() + b"\n")
            await process.stdin.drain()
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        process.stdin.close()
        try:
            return await asyncio.wait_for(asyncio.shield(ended), self._grace)
        except TimeoutError:
            log.warning("worker %s did not hand over in %.0f s; ending it", name, self._grace)
            process.kill()
            return await ended
