"""What every verb has at hand: the server to call, and where to write."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import click
from google.protobuf.message import Message
from rich.console import Console

from batchwire_client._cli.display import Display, display_on
from batchwire_client._cli.output import columns, description
from batchwire_client._cli.plain import json_line
from batchwire_client._sync.client import Client

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class App:
    """The global options, and the two streams: results go to stdout, everything else to stderr.

    Attributes:
        target: Address of the server; None for the environment's or the default.
        api_key: The key; None for the environment's or none.
        json: Whether stdout is for programs: one JSON object per line and nothing else.
        console: Where people read: stderr.
    """

    target: str | None
    api_key: str | None
    json: bool
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def client(self) -> Client:
        """A connection to the server."""
        return Client(self.target, api_key=self.api_key)

    def display(self) -> Display:
        """Where to show progress."""
        return display_on(self.console)

    def note(self, text: str) -> None:
        """Tells people something."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def give(self, message: Message, text: str) -> None:
        """The result: the message for programs, the text for people."""
        click.echo(json_line(message) if self.json else text)

    def describe(self, message: Message) -> None:
        """The result: a message in full."""
        self.give(message, "\n".join(description(message)))

    def table(self, messages: Iterable[M], head: Sequence[str], row: Callable[[M], Sequence[str]]) -> None:
        """The result: many messages."""
        lines = map(json_line, messages) if self.json else columns(head, map(row, messages))
        for line in lines:
            click.echo(line)
