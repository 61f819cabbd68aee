"""Setup of every server process: event loop, logging, signals and the ready line."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

Result = TypeVar("Result")

RPC_GRACE_S = 5
"""Grace period in seconds for RPCs and HTTP requests in flight when their server stops."""

GC_THRESHOLDS = (20_000, 20, 20)
QUIET_LOGGERS = ("alembic", "aiosqlite", "asyncio", "uvicorn")
"""Libraries whose messages below WARNING are not logged."""


def run(main: Coroutine[Any, Any, Result], log_level: str) -> Result:
    """Set up logging and garbage collection, and run a coroutine to its end on uvloop."""
    logging.basicConfig(level=log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Imported modules live as long as the process. Lines come and go by the ten thousand, and
    # reference counting frees nearly all of them, so frequent collections would find little.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return uvloop.run(main)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def stop_on_end_of_stdin(stop: asyncio.Event) -> None:
    """Set an event when the standard input ends.

    It is taken to have ended when it becomes readable, since the supervisor sends nothing more.
    """
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(stdin)
        stop.set()

    loop.add_reader(stdin, ended)


def announce(**addresses: str) -> None:
    """Print the one line that says that the process serves, and at which addresses."""
    sys.stdout.write(f"ready {' '.join(f'{name}={address}' for name, address in addresses.items())}\n")
    sys.stdout.flush()
