"""Single flight: concurrent calls with the same argument share one run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs a function once for all concurrent callers with the same argument.

    A caller shares the next run, never one that has already started, so that no result is older
    than its call.

    Args:
        function: the function to run.
    """

    def __init__(self, function: Callable[[str], Awaitable[Result]]) -> None:
        self._function = function
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._next: dict[str, asyncio.Task[Result]] = {}

    async def __call__(self, argument: str) -> Result:
        """Return the result of a run that starts after this call.

        Raises what the function raises.
        """
        run = self._next.get(argument)
        if run is None:
            run = self._next[argument] = asyncio.create_task(self._run_next(argument))
        return await asyncio.shield(run)  # a caller that is cancelled must not cancel the run of the others

    async def _run_next(self, argument: str) -> Result:
        if earlier := self._running.get(argument):
            await asyncio.wait([earlier])
        run = self._next.pop(argument)
        self._running[argument] = run
        try:
            return await self._function(argument)
        finally:
            if self._running.get(argument) is run:
                del self._running[argument]
