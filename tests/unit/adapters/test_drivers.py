"""Drivers that are imported only if the settings choose them."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPTIONAL = {"asyncpg", "obstore"}


def drivers_after(code: str) -> set[str]:
    """Return the optional drivers that a new process has imported after running some code."""
    script = f"import sys, batchwire_server.roles.adapters\n{code}\nprint(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return OPTIONAL & set(process.stdout.split())


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("from batchwire_server.adapters.sql import Database; Database('sqlite+aiosqlite:///x.db')", set()),
        ("from batchwire_server.adapters.sql import Database; Database('postgresql+asyncpg://db/x')", {"asyncpg"}),
        ("from batchwire_server.adapters.drivers import open_object_blobs; open_object_blobs('s3://b/p')", {"obstore"}),
    ],
    ids=["sqlite", "postgresql", "object store"],
)
def test_a_driver_is_imported_only_by_the_adapter_that_needs_it(code: str, imported: set[str]) -> None:
    assert drivers_after(code) == imported
