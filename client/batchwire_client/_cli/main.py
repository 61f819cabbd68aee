"""The command line: global options, commands, and how errors end a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from batchwire_client._cli.commands.batches import cancel, create, get, list_, results, retry, watch
from batchwire_client._cli.commands.files import download, upload
from batchwire_client._cli.commands.models import models
from batchwire_client._cli.commands.run import run
from batchwire_client._cli.context import CliContext
from batchwire_client._cli.exit_codes import INTERRUPTED, MEANINGS, USAGE, CliError, cli_error_of
from batchwire_client.errors import BatchwireError

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class _Program(click.Group):
    """The group of all commands. Prints an error as one line and exits with its code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _errors_as_cli_error():
                return super().invoke(ctx)
        except CliError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.code)


@contextmanager
def _errors_as_cli_error() -> Iterator[None]:
    try:
        yield
    except BatchwireError as error:
        raise cli_error_of(error) from error
    except KeyboardInterrupt:
        raise CliError("interrupted", INTERRUPTED) from None
    except BrokenPipeError:  # the reader of a pipe has closed it; click ends quietly
        raise
    except OSError as error:
        raise CliError(f"{error.filename or 'file'}: {error.strerror or error}", USAGE) from error


@click.group(cls=_Program, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchwire-client")
@click.option(
    "--target",
    metavar="HOST:PORT",
    help="gRPC address of the server; https://HOST:PORT for TLS. Default: $BATCHWIRE_TARGET, else 127.0.0.1:50051.",
)
@click.option("--api-key", metavar="KEY", help="API key. Default: $BATCHWIRE_API_KEY, else none.")
@click.option("--proxy", metavar="URL", help="HTTP proxy, such as http://proxy:3128. Default: connect directly.")
@click.option("--json", is_flag=True, help="Print JSON to stdout, one object per line, and nothing else.")
@click.pass_context
def program(ctx: click.Context, target: str | None, api_key: str | None, proxy: str | None, *, json: bool) -> None:
    """Run OpenAI-compatible batches on a Batchwire server.

    A batch is a file of requests, one JSON object per line. `run` uploads the file, creates the
    batch, waits for it and downloads the results:

    \b
      batchwire run requests.jsonl --output results.jsonl

    The other commands do the same step by step. Options of this page go before the command, as in
    `batchwire --json list`. Results go to stdout, progress and errors to stderr.
    """  # noqa: D301 - click needs the backspace character that keeps lines as they are
    ctx.obj = CliContext(target, api_key, proxy, json)


for command in (run, upload, create, watch, results, cancel, retry, list_, get, download, models):
    program.add_command(command)
