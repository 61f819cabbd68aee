"""Things that are gone, full or wrong for a while: the batch waits and goes on, and nothing is marked as failed that can still succeed."""

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
from tests.chaos.scenario import Stage, pause, until_asked
from tests.support.object_store import ObjectStore
from tests.support.postgresql import PostgreSQL
from tests.support.server import wait_until

CLOCK_JUMP_S = 3600


@contextmanager
def database_gone(request: pytest.FixtureRequest, setup: Setup) -> Iterator[None]:
    """PostgreSQL crashes and is started again; SQLite is held by somebody who writes for a long time."""
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


def test_a_database_that_is_gone_for_a_while(stage: Stage, request: pytest.FixtureRequest, outage: float) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batch = stage.submit(installation, 4000)
    until_asked([witness], 600)
    with database_gone(request, stage.setup):
        installation.disturb()
        pause(outage)
        gone_until = installation.disturb()
    stage.note_recovery(witness, gone_until)
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    # What had finished is kept over the outage: only calls that were cut off when leases ran out are made again.
    assert stage.figures.repeated == 0
    stage.settle(installation)


def test_an_upstream_that_is_gone_for_a_while(stage: Stage, outage: float) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batch = stage.submit(installation, 2000)
    until_asked([witness], 500)
    witness.go_away()
    pause(outage)
    installation.kill(
        installation.workers[0]
    )  # one that starts while the upstream is away has never been told its models
    back = installation.disturb()
    witness.come_back()
    stage.note_recovery(witness, back)
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    stage.settle(installation)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a disk of its own."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("setup", [SQLITE_DISK], indirect=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the small disk that this fills up")
def test_a_disk_that_is_full_for_a_while(stage: Stage, outage: float, tmp_path: Path) -> None:
    witness = stage.witness()
    with small_disk(tmp_path / "data", 32) as folder:
        installation = stage.install([witness, witness])
        installation.start()
        batch = stage.submit(installation, 4000)
        until_asked([witness], 600)
        ballast = fill(folder)
        installation.disturb()
        pause(outage)
        calls = len(witness.calls)
        pause(1.0)
        assert len(witness.calls) - calls <= 64, "who cannot keep results must not go on calling"
        assert not batch.seen.ended
        wait_until(lambda: installation.health()["blobs"] != "ok")
        ballast.unlink()
        stage.note_recovery(witness, installation.disturb())
        (ended,) = stage.judge(installation, [witness], batch)
        assert ended.batch["status"] == "completed"
        assert not ended.errors
        assert stage.figures.repeated == 0
        stage.settle(installation)


def fill(folder: Path) -> Path:
    """Fill a disk up to the last byte; return the file that does."""
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
def test_an_object_store_that_fails_for_a_while(
    stage: Stage, object_store: ObjectStore, outage: float, silent: bool
) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batch = stage.submit(installation, 4000)
    until_asked([witness], 600)
    object_store.fail_with, object_store.hold = (0, True) if silent else (503, False)
    installation.disturb()
    pause(outage)
    if not silent:  # a store that says nothing is taken for a slow one for up to twenty seconds
        calls = len(witness.calls)
        pause(1.0)
        assert len(witness.calls) - calls <= 64, "who cannot keep results must not go on calling"
    object_store.serve_again()
    stage.note_recovery(witness, installation.disturb())
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "completed"
    assert not ended.errors
    assert stage.figures.repeated == 0
    stage.settle(installation)


# On SQLite the database's clock is the machine's, and a worker cannot have another.
@pytest.mark.parametrize("setup", [POSTGRESQL_S3], indirect=True)
def test_a_worker_whose_clock_is_an_hour_ahead(stage: Stage) -> None:
    """Leases, windows and times go by the database's clock."""
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.workers[0].clock_ahead = CLOCK_JUMP_S
    installation.start()
    batch = stage.submit(installation, 2000, completion_window="30m")
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "completed"
    assert stage.figures.repeated == 0
    stage.settle(installation)


def test_health_says_what_is_wrong(stage: Stage, request: pytest.FixtureRequest) -> None:
    witness = stage.witness()
    installation = stage.install([witness])
    installation.start()
    assert installation.health() == {
        "status": "ok",
        "database": "ok",
        "blobs": "ok",
        "upstreams": "ok",
        "workers": "ok",
    }
    with database_gone(request, stage.setup):
        wait_until(lambda: installation.health().get("database") != "ok")
        assert installation.health()["blobs"] == "ok"
        assert not installation.ready()
    wait_until(installation.ready)
