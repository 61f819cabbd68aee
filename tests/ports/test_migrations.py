"""Migrations only add, and each revision says which code can run on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import alembic_config
from batchwire_server.adapters.sql.tables import SCHEMA_REVISION
from sqlalchemy import Connection, create_engine, select

from tests.ports.additive import snapshot, violations
from tests.ports.sql_harness import SqlHarness, over_sql
from tests.support.old_code import TREES, git, tree_of

REVISIONS = sorted(ScriptDirectory.from_config(alembic_config()).walk_revisions(), key=lambda script: script.revision)
NUMBERS = [script.revision for script in REVISIONS]


def test_revisions_are_consecutive_numbers_of_one_width() -> None:
    assert [f"{number:04d}" for number in range(1, len(REVISIONS) + 1)] == NUMBERS
    assert [script.down_revision for script in REVISIONS] == [None, *NUMBERS[:-1]]


@pytest.mark.parametrize("script", REVISIONS, ids=NUMBERS)
def test_every_revision_names_the_oldest_code_that_can_run_on_it(script: Any) -> None:
    assert script.module.oldest_code in NUMBERS
    assert script.module.oldest_code <= script.revision


def test_the_oldest_code_never_gets_older() -> None:
    oldest = [script.module.oldest_code for script in REVISIONS]
    assert oldest == sorted(oldest)


def test_no_revision_can_be_downgraded() -> None:
    assert [script.revision for script in REVISIONS if hasattr(script.module, "downgrade")] == []


def test_every_revision_but_the_newest_has_code_to_test_with() -> None:
    assert list(TREES) == NUMBERS[:-1]


@pytest.mark.parametrize("revision", TREES)
def test_the_code_to_test_with_has_the_revision_that_it_stands_for(revision: str) -> None:
    names = git("ls-tree", "-r", "--name-only", tree_of(revision)).decode().splitlines()
    assert max(Path(name).name[:4] for name in names if "/migrations/versions/" in name) == revision


@over_sql
async def test_migrations_only_add(empty_database: Database) -> None:
    def problems(connection: Connection) -> Iterator[str]:
        for script in REVISIONS:
            before = snapshot(connection)
            command.upgrade(alembic_config(connection), script.revision)
            yield from (f"{script.revision}: {problem}" for problem in violations(before, snapshot(connection)))

    async with empty_database.write() as connection:
        assert await connection.run_sync(lambda connection: list(problems(connection))) == []


@over_sql
async def test_the_database_names_the_oldest_code_of_every_revision(sql_harness: SqlHarness) -> None:
    async with sql_harness.database.read() as connection:
        rows = (await connection.execute(select(SCHEMA_REVISION).order_by("revision"))).all()
    assert [tuple(row) for row in rows] == [(script.revision, script.module.oldest_code) for script in REVISIONS]


BASE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a BIGINT, b VARCHAR DEFAULT 'x' NOT NULL, c INTEGER); CREATE INDEX by_a ON t (a)"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("ALTER TABLE t ADD COLUMN d INTEGER", None),
        ("ALTER TABLE t ADD COLUMN d INTEGER NOT NULL DEFAULT 0", None),
        ("CREATE TABLE u (id INTEGER PRIMARY KEY, x INTEGER NOT NULL UNIQUE)", None),
        ("CREATE INDEX by_c ON t (c)", None),
        ("DROP TABLE t", "table t is dropped or renamed"),
        ("ALTER TABLE t RENAME TO u", "table t is dropped or renamed"),
        ("ALTER TABLE t DROP COLUMN c", "column t.c is dropped or renamed"),
        ("ALTER TABLE t RENAME COLUMN c TO d", "column t.c is dropped or renamed"),
        ("DROP INDEX by_a", "index by_a of table t is dropped or changed"),
        ("CREATE UNIQUE INDEX one_c ON t (c)", "table t gets the restriction unique ['c']"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR DEFAULT 'x' NOT NULL, c INTEGER); CREATE INDEX by_a ON t (a)", "the type of column t.a changes from BIGINT to INTEGER"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a BIGINT, b VARCHAR NOT NULL, c INTEGER); CREATE INDEX by_a ON t (a)", "column t.b loses its server default"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a BIGINT NOT NULL, b VARCHAR DEFAULT 'x' NOT NULL, c BIGINT); CREATE INDEX by_a ON t (a)", "column t.a is no longer nullable"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a BIGINT, b VARCHAR DEFAULT 'x' NOT NULL, c INTEGER, d INTEGER NOT NULL); CREATE INDEX by_a ON t (a)", "new column t.d is neither nullable nor has a server default"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER, a BIGINT, b VARCHAR DEFAULT 'x' NOT NULL, c INTEGER); CREATE INDEX by_a ON t (a)", "the primary key of table t changes"),
    ],
)  # fmt: skip
def test_a_migration_that_does_more_than_add_is_found(statements: str, expected: str | None) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        for statement in BASE.split("; "):
            connection.exec_driver_sql(statement)
        before = snapshot(connection)
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement)
        assert violations(before, snapshot(connection)) == ([expected] if expected else [])
    engine.dispose()
