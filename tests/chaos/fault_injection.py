"""Run a role that fails at a named point.

    python -m tests.chaos.fault_injection POINT ACTION TIMES MARK worker --data-dir …

POINT   one of POINTS: before or after a call of a store's method, which the server itself is
unaware of ACTION  "kill" or "stop": the signal that the process sends to itself TIMES   how often,
counted over all processes started with the same MARK MARK    path of the marker files, one per
fault, with a number as suffix; none exists at the start
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
"""The method of a port, and whether to fail before or after it."""


def _matches(point: str, arguments: tuple[Any, ...], result: Any) -> bool:
    """Return whether a call is one at which the point fails."""
    if point == "shard claimed":
        return any(task.kind is TaskKind.RUN for task in result)
    if point.startswith("segment"):
        return any(report.segment for report in arguments[1])
    return True


async def _inject_fault(store: SqlStore, action: str, times: int, mark: Path) -> None:
    for number in range(times):
        with suppress(FileExistsError):
            mark.with_suffix(f".{number}").touch(exist_ok=False)
            # SQLite has a single write lock. A stopped process must hold it, as a frozen one would;
            # `serve` kills such a worker.
            async with store._db.backend.write_lock if action == "stop" else nullcontext():
                os.kill(os.getpid(), SIGNALS[action])
            return


def inject(point: str, action: str, times: int, mark: Path) -> None:
    """Make the method of a point fail."""
    owner, name, side = POINTS[point]
    method: Callable[..., Coroutine[Any, Any, Any]] = getattr(owner, name)

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if side == BEFORE and _matches(point, arguments, None):
            await _inject_fault(arguments[0], action, times, mark)
        result = await method(*arguments, **named)
        if side == AFTER and _matches(point, arguments, result):
            await _inject_fault(arguments[0], action, times, mark)
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    _, said_point, said_action, said_times, said_mark, *rest = sys.argv
    inject(said_point, said_action, int(said_times), Path(said_mark))
    sys.argv[1:] = rest
    main()
