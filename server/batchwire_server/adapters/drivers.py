"""Adapters whose drivers are imported only if the settings choose them.

Importing asyncpg takes 13 MB of memory in every process, and obstore 5 MB. An installation with
SQLite and a directory needs neither. The modules that import these drivers are therefore loaded by
name, and only here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from batchwire_server.adapters.blobs.object_store import ObjectBlobs
    from batchwire_server.adapters.sql.backend import Backend

_ADAPTERS = "batchwire_server.adapters"


def sql_backend(dialect: str) -> type[Backend]:
    """Return the backend of a kind of database, by SQLAlchemy's name for it."""
    module, name = {"sqlite": ("sqlite", "SqliteBackend"), "postgresql": ("postgresql", "PostgresqlBackend")}[dialect]
    return cast("type[Backend]", getattr(import_module(f"{_ADAPTERS}.sql.{module}"), name))


def open_object_blobs(url: str) -> ObjectBlobs:
    """Open the object store at a URL such as `s3://bucket/prefix`."""
    module = import_module(f"{_ADAPTERS}.blobs.object_store")
    return cast("ObjectBlobs", module.ObjectBlobs(module.open_store(url)))
