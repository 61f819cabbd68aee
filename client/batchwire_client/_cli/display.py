"""Shows progress on stderr: bars on a terminal, a line now and then elsewhere."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from batchwire import v1
from rich.console import Console

from batchwire_client._bytes import Progress
from batchwire_client._cli.bars import Bars
from batchwire_client._cli.ticker import Ticker


class Display(Protocol):
    """Shows how something goes while it goes."""

    def transfer(self, label: str) -> AbstractContextManager[Progress]:
        """Shows bytes on their way; the value is told how many."""

    def batch(self) -> AbstractContextManager[Callable[[v1.Batch], None]]:
        """Shows a running batch; the value is told its snapshots."""


def display_on(console: Console) -> Display:
    """The display that fits where the console writes to."""
    return Bars(console) if console.is_terminal else Ticker(console)
