"""Outages of a dependency: the batch waits, goes on, and no line fails that can still succeed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.checks import settings_of
from tests.chaos.installation import POSTGRESQL_S3, SQLITE_DISK, Setup
from tests.chaos.scenario import Scenario, pause, wait_for_calls
from tests.support.object_store import ObjectStore
from tests.support.postgresql import PostgreSQL
from tests.support.server import wait_until

CLOCK_JUMP_S = 3600


@contextmanager
def database_down(request: pytest.FixtureRequest, setup: Setup) -> Iterator[None]:
    """Make the database unavailable: crash PostgreSQL, or hold the write lock of SQLite."""
    if setup.name.startswith("postgresql"):
        server: PostgreSQL = request.getfixturevalue("postgresql")
        server.crash()
        yield
        server.start()
        return
    held = sqlite3.connect(settings_of(setup).data_dir / "batchwire.db", isolation_level=None, timeout=60)
    held.execute("BEGIN IMMEDIATE")
    yield
    held.rollback()
    held.close()


def test_a_batch_survives_a_database_outage(scenario: Scenario, request: pytest.FixtureRequest, outage: float) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batch = scenario.submit(installation, 4000)
    wait_for_calls([upstream], 600)
    with database_down(request, scenario.setup):
        installation.record_fault()
        pause(outage)
        back = installation.record_fault()
    scenario.record_recovery(upstream, back)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    # Finished lines are kept over the outage; only calls cancelled when leases expired are
    # repeated.
    assert scenario.result.repeated == 0
    scenario.stop_and_check_storage(installation)


def test_a_batch_survives_an_upstream_outage(scenario: Scenario, outage: float) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batch = scenario.submit(installation, 2000)
    wait_for_calls([upstream], 500)
    upstream.stop_serving()
    pause(outage)
    # A worker that starts while the upstream is down cannot list its models.
    installation.kill(installation.workers[0])
    back = installation.record_fault()
    upstream.resume()
    scenario.record_recovery(upstream, back)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    scenario.stop_and_check_storage(installation)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a small disk at a folder."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("setup", [SQLITE_DISK], indirect=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the small disk that this fills up")
def test_a_batch_survives_a_full_disk(scenario: Scenario, outage: float, tmp_path: Path) -> None:
    upstream = scenario.upstream()
    with small_disk(tmp_path / "data", 32) as folder:
        installation = scenario.install([upstream, upstream])
        installation.start()
        batch = scenario.submit(installation, 4000)
        wait_for_calls([upstream], 600)
        ballast = fill(folder)
        installation.record_fault()
        pause(outage)
        calls = len(upstream.calls)
        pause(1.0)
        assert len(upstream.calls) - calls <= 64, "a worker that cannot write results must not start calls"
        assert not batch.monitor.ended
        wait_until(lambda: installation.health()["blobs"] != "ok")
        ballast.unlink()
        scenario.record_recovery(upstream, installation.record_fault())
        (ended,) = scenario.wait_and_check(installation, [upstream], batch)
        assert ended.batch["status"] == "completed"
        assert not ended.errors
        assert scenario.result.repeated == 0
        scenario.stop_and_check_storage(installation)


def fill(folder: Path) -> Path:
    """Fill a disk up to the last byte. Return the file that does so."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.parametrize("setup", [POSTGRESQL_S3], indirect=True)
@pytest.mark.parametrize("silent", [False, True], ids=["503", "silence"])
def test_a_batch_survives_an_object_store_outage(
    scenario: Scenario, object_store: ObjectStore, outage: float, silent: bool
) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batch = scenario.submit(installation, 4000)
    wait_for_calls([upstream], 600)
    object_store.fail_with, object_store.hold = (0, True) if silent else (503, False)
    installation.record_fault()
    pause(outage)
    if not silent:  # a silent store counts as slow for up to twenty seconds
        calls = len(upstream.calls)
        pause(1.0)
        assert len(upstream.calls) - calls <= 64, "a worker that cannot write results must not start calls"
    object_store.serve_again()
    scenario.record_recovery(upstream, installation.record_fault())
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    assert scenario.result.repeated == 0
    scenario.stop_and_check_storage(installation)


# On SQLite the clock of the database is the worker's own.
@pytest.mark.parametrize("setup", [POSTGRESQL_S3], indirect=True)
def test_a_worker_clock_an_hour_ahead_changes_nothing(scenario: Scenario) -> None:
    """Leases, windows and timestamps use the clock of the database."""
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.workers[0].clock_ahead = CLOCK_JUMP_S
    installation.start()
    batch = scenario.submit(installation, 2000, completion_window="30m")
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "completed"
    assert scenario.result.repeated == 0
    scenario.stop_and_check_storage(installation)


def test_health_reports_a_database_outage(scenario: Scenario, request: pytest.FixtureRequest) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream])
    installation.start()
    assert installation.health() == {
        "status": "ok",
        "database": "ok",
        "blobs": "ok",
        "upstreams": "ok",
        "workers": "ok",
    }
    with database_down(request, scenario.setup):
        wait_until(lambda: installation.health().get("database") != "ok")
        assert installation.health()["blobs"] == "ok"
        assert not installation.ready()
    wait_until(installation.ready)
