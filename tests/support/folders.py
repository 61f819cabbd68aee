"""What lies in folders that somebody else changes meanwhile."""

import os
from pathlib import Path


def files_below(folder: Path) -> list[str]:
    """Returns the names of all files below a folder, relative to it, in order.

    A folder that goes away between being named and being read has no files; `Path.rglob` would raise.
    """
    return sorted(str(Path(parent, name).relative_to(folder)) for parent, _, names in os.walk(folder) for name in names)
