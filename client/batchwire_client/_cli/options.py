"""Options and arguments that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

INPUT_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUTPUT_FILE = click.Path(dir_okay=False, path_type=Path)

force_option = click.option("--force", is_flag=True, help="Replace files that exist.")


def require_content(path: Path) -> None:
    """Raises UsageError for an empty file, which no server takes."""
    if path.is_file() and path.stat().st_size == 0:
        raise click.UsageError(f"{path} is empty.")


def batch_options(command: F) -> F:
    """The options that describe a new batch."""
    options = (
        click.option(
            "--endpoint", help="Path that every line calls. Default: the first line's url, else /v1/chat/completions."
        ),
        click.option(
            "--window", default="24h", show_default=True, help="Time given: a number and s, m, h or d, up to 336h."
        ),
        click.option(
            "--metadata",
            multiple=True,
            type=_pair,
            metavar="KEY=VALUE",
            help="Attach this to the batch. Repeatable.",
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
