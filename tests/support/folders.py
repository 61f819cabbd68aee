"""Listing of folders that other processes change at the same time."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, sorted.

    A subfolder that is deleted meanwhile counts as empty, where `Path.rglob` would raise.
    """
    return sorted(str(Path(parent, name).relative_to(folder)) for parent, _, names in os.walk(folder) for name in names)
