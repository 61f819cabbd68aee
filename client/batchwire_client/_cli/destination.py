"""Where the files of a batch go, checked before anything is done."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click


@dataclass(frozen=True, slots=True)
class Destination:
    """Paths for the output and the error file."""

    output: Path
    errors: Path

    @classmethod
    def checked(cls, output: Path, errors: Path | None, *, force: bool) -> Self:
        """The two paths; without one for errors it is the output's with `.errors.jsonl` after it.

        Raises:
            UsageError: A file is there already and `force` is not set, or a path cannot become a file.
        """
        destination = cls(output, errors or output.with_name(f"{output.name}.errors.jsonl"))
        if destination.output.absolute() == destination.errors.absolute():
            raise click.UsageError("output and errors cannot be the same file.")
        for path in (destination.output, destination.errors):
            require_free(path, force=force)
        return destination


def require_free(path: Path, *, force: bool) -> None:
    """Raises UsageError unless a file can be written there without harm, or `force` allows the harm."""
    if path.is_dir():
        raise click.UsageError(f"{path} is a directory.")
    if not path.parent.is_dir():
        raise click.UsageError(f"There is no folder {path.parent}.")
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists; use --force to replace it.")
