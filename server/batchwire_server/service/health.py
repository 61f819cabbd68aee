"""Health checks: probes each component at intervals and reports changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from batchwire_server.core.health import Component

log = logging.getLogger(__name__)

INTERVAL_S = 5.0
TIMEOUT_S = 5.0

Probe = Callable[[], Awaitable[None]]


class HealthChecks:
    """Probes all components, for as long as `run` runs.

    Args:
        probes: a probe per component. It raises if the component cannot be used.
        interval: seconds between probes.
    """

    def __init__(self, probes: Mapping[Component, Probe], interval: float = INTERVAL_S) -> None:
        self._probes = probes
        self._interval = interval
        self._healthy = dict.fromkeys(probes, True)

    @property
    def components(self) -> list[Component]:
        """The components that are probed."""
        return list(self._probes)

    async def run(self, changed: Callable[[Component, bool], Awaitable[None]]) -> None:
        """Probe until cancelled, and report changes.

        `changed` is called with a component and True if it is healthy. All are healthy at first.
        """
        while True:
            # A group waits for cancelled probes to close their connections; `gather` would not.
            async with asyncio.TaskGroup() as group:
                results = {component: group.create_task(self._probe(component)) for component in self._probes}
            for component, result in results.items():
                healthy = result.result()
                if healthy != self._healthy[component]:
                    self._healthy[component] = healthy
                    await changed(component, healthy)
            await asyncio.sleep(self._interval)

    async def _probe(self, component: Component) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._probes[component]()
        except Exception as error:  # noqa: BLE001 - any error means that the component cannot be used
            if self._healthy[component]:
                reason = str(error) or f"no answer within {TIMEOUT_S:.0f} s"
                log.warning("health check of %s failed: %s; checking every %.0f s", component, reason, self._interval)
            return False
        if not self._healthy[component]:
            log.warning("health check of %s passed again", component)
        return True
