"""Code of this repository's history, as the schema's `oldest_code` names it."""

from __future__ import annotations

import os
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from batchwire_server.adapters.sql.migrate import MIGRATIONS

ROOT = Path(__file__).parents[2]
TREES: dict[str, str] = tomllib.loads((MIGRATIONS / "oldest_code.toml").read_text())
"""For each revision but the newest, the git tree of code whose newest revision it is."""


def git(*arguments: str) -> bytes:
    """Return what git prints in this repository. Raise OSError or CalledProcessError."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


@cache
def tree_of(revision: str) -> str:
    """Return the tree of a revision's code. Without it, skip the test, or fail it in CI.

    A shallow clone and an archive of the files do not have the tree.
    """
    tree = TREES[revision]
    try:
        git("cat-file", "-e", f"{tree}^{{tree}}")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"git has no tree {tree}, the code of schema revision {revision}: fetch the whole history ({error})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return tree


def unpack(revision: str, folder: Path) -> dict[str, str]:
    """Write a revision's code into a new folder.

    Return the environment that makes Python run it.
    """
    archive = git("archive", tree_of(revision), "server", "client", "gen")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    packages = ("server", "client", "gen/python")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / name) for name in packages)}
