"""Options and arguments that several commands share, and the checks of their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import click

from batchwire_client._bytes import split_lines

F = TypeVar("F", bound=Callable[..., Any])

INPUT_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUTPUT_FILE = click.Path(dir_okay=False, path_type=Path)

DEFAULT_ENDPOINT = "/v1/chat/completions"
ENDPOINT_SEARCH_BYTES = 1024 * 1024
"""Number of bytes of a stored file that are searched for its first line."""

force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
errors_option = click.option(
    "--errors", type=OUTPUT_FILE, help="Where to write the lines that failed. Default: OUTPUT.errors.jsonl."
)


def batch_options(command: F) -> F:
    """Add the options of a new batch to a command."""
    options = (
        click.option(
            "--endpoint",
            metavar="PATH",
            help=f"API path that every line calls. Default: the url of the first line, else {DEFAULT_ENDPOINT}.",
        ),
        click.option(
            "--window",
            metavar="DURATION",
            default="24h",
            show_default=True,
            help="Time allowed for the batch: an integer followed by s, m, h or d, up to 336h. "
            "Lines that have not run by then fail.",
        ),
        click.option(
            "--metadata",
            multiple=True,
            type=_pair,
            metavar="KEY=VALUE",
            help="Metadata to attach to the batch. Repeat it for more pairs, up to 16.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
    return key, value


def require_content(path: Path) -> None:
    """Raise UsageError if a file is empty: the server refuses empty files."""
    if path.is_file() and path.stat().st_size == 0:
        raise click.UsageError(f"{path} is empty: the server refuses empty files.")


def require_free(path: Path, *, force: bool) -> None:
    """Raise UsageError unless a file can be written at `path`. `force` allows an existing file."""
    if path.is_dir():
        raise click.UsageError(f"{path} is a directory.")
    if not path.parent.is_dir():
        raise click.UsageError(f"The directory {path.parent} does not exist.")
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists; use --force to replace it.")


@dataclass(frozen=True, slots=True)
class Destination:
    """Paths for the output and the error file of a batch."""

    output: Path
    errors: Path

    @classmethod
    def checked(cls, output: Path, errors: Path | None, *, force: bool) -> Self:
        """Return the two paths. The default of `errors` is the output's with `.errors.jsonl` added.

        Raises:
            UsageError: A file exists and `force` is not set, or a path cannot become a file.
        """
        destination = cls(output, errors or output.with_name(f"{output.name}.errors.jsonl"))
        if destination.output.absolute() == destination.errors.absolute():
            raise click.UsageError(f"--output and --errors name the same file, {output}.")
        for path in (destination.output, destination.errors):
            require_free(path, force=force)
        return destination


def endpoint_of(pieces: Iterable[bytes]) -> str:
    """Return the `url` of the first line that is not blank, or DEFAULT_ENDPOINT if it has none."""
    first = next(split_lines(pieces), b"")
    try:
        request = json.loads(first)
    except ValueError:  # the server reports it, with the number of the line
        return DEFAULT_ENDPOINT
    url = request.get("url") if isinstance(request, dict) else None
    return url if isinstance(url, str) and url else DEFAULT_ENDPOINT
