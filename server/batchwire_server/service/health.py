"""Health: looks now and then whether the parts that the server stands on can do theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

LOOK_S = 5.0
PATIENCE_S = 5.0

Probe = Callable[[], Awaitable[None]]


class HealthChecks:
    """Tries each part in turn, for as long as `run` runs.

    Args:
        probes: what tries a part, by its name; it raises when the part cannot do its own.
        interval: seconds between looks.
    """

    def __init__(self, probes: Mapping[str, Probe], interval: float = LOOK_S) -> None:
        self._probes = probes
        self._interval = interval
        self._fine = dict.fromkeys(probes, True)

    @property
    def parts(self) -> list[str]:
        """The names of the parts."""
        return list(self._probes)

    async def run(self, changed: Callable[[str, bool], Awaitable[None]]) -> None:
        """Looks until cancelled; calls `changed` with each part that is fine no more, or fine again."""
        while True:
            for part, fine in zip(self._probes, await asyncio.gather(*map(self._look, self._probes)), strict=True):
                if fine != self._fine[part]:
                    self._fine[part] = fine
                    await changed(part, fine)
            await asyncio.sleep(self._interval)

    async def _look(self, part: str) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._probes[part]()
        except Exception as error:  # noqa: BLE001 - whatever it is, the part cannot do its own
            if self._fine[part]:
                log.warning("health: %s", error if str(error) else f"{part} does not answer")
            return False
        if not self._fine[part]:
            log.warning("health: %s fine again", part)
        return True
