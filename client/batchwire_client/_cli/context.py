"""The context of every command: the server to call, and where to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import click
from google.protobuf.message import Message
from rich.console import Console

from batchwire_client._cli.exit_codes import USAGE, CliError
from batchwire_client._cli.output import columns, description, json_line
from batchwire_client._cli.progress import Display, display_on
from batchwire_client._sync.client import Client

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class CliContext:
    """The global options and the two streams: results go to stdout, everything else to stderr.

    Attributes:
        target: address of the server. None means that of the environment, else the default.
        api_key: the API key. None means that of the environment, else none.
        proxy: URL of the HTTP proxy; None connects directly.
        json: whether stdout has one JSON object per line and nothing else.
        console: the console on stderr.
    """

    target: str | None
    api_key: str | None
    proxy: str | None
    json: bool
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def client(self) -> Client:
        """Return a client of the server. Raises CliError if gRPC cannot use the proxy."""
        try:
            return Client(self.target, api_key=self.api_key, proxy=self.proxy)
        except ValueError as error:
            raise CliError(str(error), USAGE) from error

    def display(self) -> Display:
        """Return a display of progress on stderr."""
        return display_on(self.console)

    def note(self, text: str) -> None:
        """Print a line to stderr."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def print_result(self, message: Message, text: str) -> None:
        """Print the result to stdout: the message as JSON, or the text."""
        click.echo(json_line(message) if self.json else text)

    def describe(self, message: Message) -> None:
        """Print a message to stdout: all fields as JSON, or those that are set as text."""
        self.print_result(message, "\n".join(description(message)))

    def table(self, messages: Iterable[M], head: Sequence[str], row: Callable[[M], Sequence[str]]) -> None:
        """Print many messages to stdout: as JSON lines, or as a table."""
        lines = map(json_line, messages) if self.json else columns(head, map(row, messages))
        for line in lines:
            click.echo(line)
