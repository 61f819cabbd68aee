"""The command `migrate`, and which roles migrate."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from batchwire_server.roles import keys, migrate
from batchwire_server.roles.errors import UnusableDatabaseError
from batchwire_server.settings import Settings, load


def settings_for(data_dir: Path) -> Settings:
    return load(overrides={"data_dir": data_dir, "upstream": ("echo",)})


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "batchwire_server", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


async def test_a_check_asks_for_a_migration_of_an_empty_database_and_creates_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data")
    status, sentence = await migrate.check(settings)
    assert status == 1
    assert sentence.startswith(f"database {tmp_path}/data/batchwire.db has no schema: run `batchwire-server migrate`")
    assert not settings.data_dir.exists()


async def test_a_check_is_content_after_the_migration(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    sentence = await migrate.run(settings)
    assert sentence.startswith(f"database {tmp_path}/batchwire.db has schema revision ")
    assert await migrate.check(settings) == (0, sentence)


@pytest.mark.parametrize(("oldest_code", "status"), [("0001", 0), ("9999", 2)])
async def test_a_check_of_a_newer_schema_depends_on_the_code_that_can_run_on_it(
    tmp_path: Path, oldest_code: str, status: int
) -> None:
    settings = settings_for(tmp_path)
    await migrate.run(settings)
    with closing(sqlite3.connect(tmp_path / "batchwire.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("INSERT INTO schema_revision VALUES ('9999', ?)", [oldest_code])
        database.commit()
    assert (await migrate.check(settings))[0] == status
    if status:
        with pytest.raises(UnusableDatabaseError, match="install a release that can run on 9999"):
            await migrate.run(settings)
    else:
        assert (await migrate.run(settings)).endswith("compatible with it")


async def test_the_first_key_creates_the_schema(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    await keys.create(settings, "default", "")
    assert (await migrate.check(settings))[0] == 0


async def test_what_is_not_a_database_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "batchwire.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UnusableDatabaseError, match=r"^database \S+ cannot be used: file is not a database$"):
        await migrate.check(settings_for(tmp_path))


def test_a_check_of_a_database_that_cannot_be_reached_has_a_status_of_its_own() -> None:
    ended = run("migrate", "--check", "--database", "postgresql://nobody@127.0.0.1:1/x")
    assert ended.returncode == 3
    assert ended.stderr.startswith("Error: database out of reach: 127.0.0.1/x: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_worker_that_serve_starts_does_not_migrate(tmp_path: Path) -> None:
    settings = settings_for(tmp_path).model_dump_json()
    ended = run("worker", "--name", "node/0", "--settings-from-stdin", stdin=f"{settings}\n")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: database {tmp_path}/batchwire.db has no schema: ")
    assert len(ended.stderr.splitlines()) == 1
