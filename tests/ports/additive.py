"""What a migration may do: add to the schema, so that older code can run on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, inspect

WIDER = {("INTEGER", "BIGINT"), ("SMALLINT", "INTEGER"), ("SMALLINT", "BIGINT"), ("REAL", "DOUBLE PRECISION")}
"""Changes of a type that every old value and every old reader survives."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the database has it."""

    columns: dict[str, Any]
    primary_key: tuple[str, ...]
    indexes: dict[str, tuple[str | None, ...]]
    restrictions: frozenset[str]
    """What rows must satisfy beyond their columns: unique keys, foreign keys and checks."""


def snapshot(connection: Connection) -> dict[str, Table]:
    """Return all tables of a database."""
    found = inspect(connection)
    return {name: _table(found, name) for name in found.get_table_names() if name != "alembic_version"}


def _table(found: Any, name: str) -> Table:
    indexes = found.get_indexes(name)
    unique = [("unique", each["column_names"]) for each in (*found.get_unique_constraints(name), *indexes)
              if each.get("unique", True)]  # fmt: skip
    foreign = [("foreign key", each["constrained_columns"]) for each in found.get_foreign_keys(name)]
    checks = [("check", each["sqltext"]) for each in found.get_check_constraints(name)]
    return Table(
        columns={column["name"]: column for column in found.get_columns(name)},
        primary_key=tuple(found.get_pk_constraint(name)["constrained_columns"]),
        indexes={index["name"]: tuple(index["column_names"]) for index in indexes},
        restrictions=frozenset(f"{kind} {what}" for kind, what in (*unique, *foreign, *checks)),
    )


def violations(before: dict[str, Table], after: dict[str, Table]) -> list[str]:
    """Return in which ways a migration does more than add."""
    return [problem for name, table in before.items() for problem in _of_table(name, table, after.get(name))]


def _of_table(name: str, before: Table, after: Table | None) -> Iterator[str]:
    if after is None:
        yield f"table {name} is dropped or renamed"
        return
    for column, old in before.columns.items():
        if column not in after.columns:
            yield f"column {name}.{column} is dropped or renamed"
        else:
            yield from _of_column(f"{name}.{column}", old, after.columns[column])
    for column in after.columns.keys() - before.columns.keys():
        new = after.columns[column]
        if not new["nullable"] and new["default"] is None:
            yield f"new column {name}.{column} is neither nullable nor has a server default"
    if before.primary_key != after.primary_key:
        yield f"the primary key of table {name} changes"
    for index, columns in before.indexes.items():
        if after.indexes.get(index) != columns:
            yield f"index {index} of table {name} is dropped or changed"
    for restriction in after.restrictions - before.restrictions:
        yield f"table {name} gets the restriction {restriction}"


def _of_column(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if not _holds(str(new["type"]), str(old["type"])):
        yield f"the type of column {name} changes from {old['type']} to {new['type']}"
    if old["nullable"] and not new["nullable"]:
        yield f"column {name} is no longer nullable"
    if old["default"] is not None and new["default"] is None:
        yield f"column {name} loses its server default"


def _holds(new: str, old: str) -> bool:
    """Return True if every value of type `old` is one of type `new`."""
    return new == old or (old, new) in WIDER or (old.startswith("VARCHAR(") and new in {"VARCHAR", "TEXT"})
