"""The command line: its global options, its verbs, and how errors end it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from batchwire_client._cli.commands.cancel import cancel
from batchwire_client._cli.commands.create import create
from batchwire_client._cli.commands.download import download
from batchwire_client._cli.commands.get import get
from batchwire_client._cli.commands.list import list_
from batchwire_client._cli.commands.models import models
from batchwire_client._cli.commands.results import results
from batchwire_client._cli.commands.retry import retry
from batchwire_client._cli.commands.run import run
from batchwire_client._cli.commands.upload import upload
from batchwire_client._cli.commands.watch import watch
from batchwire_client._cli.context import App
from batchwire_client._cli.exit_codes import INTERRUPTED, MEANINGS, USAGE, Ended, ended_by
from batchwire_client.errors import BatchwireError

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class _Program(click.Group):
    """Lists its verbs in the order of their use, and turns what goes wrong into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs as they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb."""
        try:
            with _one_way_to_end():
                return super().invoke(ctx)
        except Ended as end:
            click.echo(f"Error: {end}", err=True)
            ctx.exit(end.code)


@contextmanager
def _one_way_to_end() -> Iterator[None]:
    try:
        yield
    except BatchwireError as error:
        raise ended_by(error) from error
    except KeyboardInterrupt:
        raise Ended("interrupted", INTERRUPTED) from None
    except BrokenPipeError:  # the reader of a pipe had enough; click ends quietly
        raise
    except OSError as error:
        raise Ended(f"{error.filename or 'file'}: {error.strerror or error}", USAGE) from error


@click.group(cls=_Program, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchwire-client")
@click.option("--target", metavar="HOST:PORT", help="Server. Default: $BATCHWIRE_TARGET, else 127.0.0.1:50051.")
@click.option("--api-key", metavar="KEY", help="Key to send. Default: $BATCHWIRE_API_KEY, else none.")
@click.option("--json", is_flag=True, help="For programs: one JSON object per line on stdout and nothing else.")
@click.pass_context
def program(context: click.Context, target: str | None, api_key: str | None, *, json: bool) -> None:
    """Runs OpenAI-style batches on a Batchwire server.

    The short way is `batchwire run requests.jsonl --output out.jsonl`; the other verbs are its steps.
    """
    context.obj = App(target, api_key, json)


for verb in (run, upload, create, watch, results, cancel, retry, list_, get, download, models):
    program.add_command(verb)
