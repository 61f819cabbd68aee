"""Health checks: changes are reported once, per component."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.service import health
from batchwire_server.service.health import HealthChecks

from tests.support.scripted_upstream import until


class Probe:
    """A probe that passes, raises `error`, or hangs."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.hangs = False
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error


@asynccontextmanager
async def checking(probes: Mapping[Component, health.Probe]) -> AsyncIterator[list[tuple[Component, bool]]]:
    """Run health checks; yield the list of reported changes."""
    reported: list[tuple[Component, bool]] = []

    async def changed(component: Component, healthy: bool) -> None:
        reported.append((component, healthy))

    running = asyncio.create_task(HealthChecks(probes, interval=0.005).run(changed))
    yield reported
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_healthy_component_is_not_reported() -> None:
    probe = Probe()
    async with checking({Component.DATABASE: probe}) as reported:
        await until(lambda: probe.calls > 2)
        assert reported == []


@pytest.mark.parametrize("error", [OutOfReachError(Component.DATABASE, "it is gone"), ValueError("whatever")])
async def test_a_failing_component_is_reported_once_and_its_recovery_once(error: Exception) -> None:
    probe, other = Probe(), Probe()
    async with checking({Component.DATABASE: probe, Component.BLOBS: other}) as reported:
        probe.error = error
        await until(lambda: reported)
        calls = probe.calls
        await until(lambda: probe.calls > calls + 2)
        probe.error = None
        await until(lambda: len(reported) > 1)
        assert reported == [(Component.DATABASE, False), (Component.DATABASE, True)]


async def test_a_component_whose_probe_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.02)
    probe = Probe()
    probe.hangs = True
    async with checking({Component.BLOBS: probe}) as reported:
        await until(lambda: reported)
        assert reported == [(Component.BLOBS, False)]


async def test_cancelling_the_checks_waits_for_all_probes_to_clean_up() -> None:
    cleaned_up = False
    started = asyncio.Event()

    async def probe() -> None:
        nonlocal cleaned_up
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned_up = True

    quick = Probe()
    quick.hangs = True
    async with checking({Component.BLOBS: quick, Component.DATABASE: probe}):
        await started.wait()
    assert cleaned_up
