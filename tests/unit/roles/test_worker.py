"""The worker that is built from settings: it has a handler for every kind of task."""

from __future__ import annotations

from pathlib import Path

from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.core.records import TaskKind
from batchwire_server.roles.adapters import open_adapters
from batchwire_server.roles.worker import build_quarantine_runner, build_worker
from batchwire_server.settings import Settings


async def test_every_kind_of_task_but_run_has_a_handler(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, upstream=("echo",))
    async with open_adapters(settings, Migrations.ALL) as adapters:
        worker = build_worker(settings, adapters, "w")
        assert set(worker._handlers) == set(TaskKind) - {TaskKind.RUN}
        build_quarantine_runner(settings, adapters, "w/isolated")
