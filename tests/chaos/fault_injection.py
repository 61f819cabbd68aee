"""Runs a role that fails at a named point, some times: `python -m tests.chaos.fault_injection POINT ACTION TIMES MARK worker --data-dir …`.

The points are between what the server does and what it notes of it: the calls of its ports. The code of the server knows nothing of them.

POINT   one of POINTS
ACTION  "kill" or "stop": the signal that the process sends to itself
TIMES   how often, over all processes that are started so
MARK    the path of files, a number added, that count the failures; none is there before
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from batchwire_server.__main__ import main
from batchwire_server.adapters.sql.store import SqlStore
from batchwire_server.core.records import TaskKind

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
BEFORE, AFTER = "before", "after"

POINTS = {
    "file without a row": (SqlStore, "add_file", BEFORE),
    "file with a row": (SqlStore, "add_file", AFTER),
    "batch to be stored": (SqlStore, "add_batch", BEFORE),
    "batch stored": (SqlStore, "add_batch", AFTER),
    "input validated": (SqlStore, "accept", BEFORE),
    "shards queued": (SqlStore, "accept", AFTER),
    "shard claimed": (SqlStore, "claim", AFTER),
    "segment without a row": (SqlStore, "record", BEFORE),
    "segment with a row": (SqlStore, "record", AFTER),
    "results without a row": (SqlStore, "finish", BEFORE),
    "results with a row": (SqlStore, "finish", AFTER),
}
"""A port's method, and on which side of it to fail."""


def _reached(point: str, arguments: tuple[Any, ...], result: Any) -> bool:
    """Return whether a call is one that the point means."""
    if point == "shard claimed":
        return any(task.kind is TaskKind.RUN for task in result)
    if point.startswith("segment"):
        return any(report.segment for report in arguments[1])
    return True


async def _fail(store: SqlStore, action: str, times: int, mark: Path) -> None:
    for number in range(times):
        with suppress(FileExistsError):
            mark.with_suffix(f".{number}").touch(exist_ok=False)
            # SQLite has one lock for all who write, and a process that stands still keeps it; `serve` ends such a one.
            async with store._db._writing if action == "stop" else nullcontext():
                os.kill(os.getpid(), SIGNALS[action])
            return


def arm(point: str, action: str, times: int, mark: Path) -> None:
    """Wrap the method of a point."""
    owner, name, side = POINTS[point]
    method: Callable[..., Coroutine[Any, Any, Any]] = getattr(owner, name)

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if side == BEFORE and _reached(point, arguments, None):
            await _fail(arguments[0], action, times, mark)
        result = await method(*arguments, **named)
        if side == AFTER and _reached(point, arguments, result):
            await _fail(arguments[0], action, times, mark)
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    _, said_point, said_action, said_times, said_mark, *rest = sys.argv
    arm(said_point, said_action, int(said_times), Path(said_mark))
    sys.argv[1:] = rest
    main()
