"""Helpers for tests of the `batchwire` command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

LINES = b"".join(b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{}}\n' % n for n in range(4))

Batchwire = Callable[..., Result]


def json_lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
