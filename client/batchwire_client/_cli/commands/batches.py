"""Commands on batches: create, watch, results, cancel, retry, list, get."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import click
from batchwire import v1

from batchwire_client._cli.context import CliContext
from batchwire_client._cli.exit_codes import exit_code_of
from batchwire_client._cli.follow import follow
from batchwire_client._cli.options import (
    ENDPOINT_SEARCH_BYTES,
    OUTPUT_FILE,
    Destination,
    batch_options,
    endpoint_of,
    errors_option,
    force_option,
)
from batchwire_client._cli.output import BATCH_COLUMNS, FILE_COLUMNS, batch_row, file_row, json_line, summary

_MAX_BATCH_PAGE = 100
_MAX_FILE_PAGE = 10_000


@click.command(short_help="Create a batch from a stored file.")
@click.argument("file_id")
@batch_options
@click.pass_obj
def create(
    context: CliContext, file_id: str, endpoint: str | None, window: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Create a batch from the stored file FILE_ID and print the id of the batch.

    `batchwire upload` stores a file and prints its id.
    """
    with context.client() as client:
        path = endpoint or endpoint_of(client.files.download(file_id, limit=ENDPOINT_SEARCH_BYTES))
        batch = client.batches.create(file_id, path, completion_window=window, metadata=dict(metadata))
    context.print_result(batch, batch.id)


@click.command(short_help="Watch a batch until it ends.")
@click.argument("batch_id")
@click.option(
    "-o", "--output", type=OUTPUT_FILE, help="Where to write the lines that succeeded. Default: do not download."
)
@errors_option
@force_option
@click.pass_context
def watch(ctx: click.Context, batch_id: str, output: Path | None, errors: Path | None, *, force: bool) -> None:
    """Show the progress of the batch BATCH_ID until it ends.

    With --output, also download its output and its error file. A broken connection is opened
    again. Ctrl-C leaves the batch running.

    At the end, prints one line with the batch's status and counts. With --json, prints the batch
    after each change instead, the last time when it has ended.
    """
    context: CliContext = ctx.obj
    if errors and not output:
        raise click.UsageError("--errors requires --output.")
    destination = Destination.checked(output, errors, force=force) if output else None

    def print_snapshot(batch: v1.Batch) -> None:
        if context.json:
            click.echo(json_line(batch))

    with context.client() as client:
        batch = follow(context, client, batch_id, destination, print_snapshot)
    if not context.json:
        click.echo(summary(batch))
    ctx.exit(exit_code_of(batch))


@click.command(short_help="Print lines as they finish.")
@click.argument("batch_id")
@click.pass_obj
def results(context: CliContext, batch_id: str) -> None:
    """Print the lines of the batch BATCH_ID as they finish, until the batch ends.

    Each line is as in the output or the error file. The order is that in which they finished. By
    default the server offers this until an hour after the end of a batch. After that, use
    `batchwire watch --output`.
    """
    out = sys.stdout.buffer
    with context.client() as client:
        for message in client.batches.stream_results(batch_id):
            out.write(message.data)
            out.flush()


@click.command(short_help="Cancel a batch.")
@click.argument("batch_id")
@click.pass_obj
def cancel(context: CliContext, batch_id: str) -> None:
    """Cancel the batch BATCH_ID and print its status.

    Lines that have not started never run. Finished lines are kept, and are in the batch's files
    when it has ended.
    """
    with context.client() as client:
        batch = client.batches.cancel(batch_id)
    context.print_result(batch, summary(batch))


@click.command(short_help="Run the failed lines of a batch again.")
@click.argument("batch_id")
@click.option(
    "--window",
    default="",
    metavar="DURATION",
    help="Time allowed for the new batch, such as 24h. Default: that of BATCH_ID.",
)
@click.pass_obj
def retry(context: CliContext, batch_id: str, window: str) -> None:
    """Create a batch from the lines of the batch BATCH_ID that failed or never ran.

    Prints the id of the new batch. BATCH_ID must have ended.
    """
    with context.client() as client:
        batch = client.batches.retry(batch_id, completion_window=window)
    context.print_result(batch, batch.id)


@click.command("list", short_help="List batches or files.")
@click.option("--files", is_flag=True, help="List files instead of batches.")
@click.option("--purpose", default="", metavar="PURPOSE", help="List only files of this purpose. Implies --files.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="List at most N, from 1."
)
@click.pass_obj
def list_(context: CliContext, purpose: str, limit: int, *, files: bool) -> None:
    """List batches or files, newest first."""
    with context.client() as client:
        if files or purpose:
            page_size = min(limit, _MAX_FILE_PAGE)
            found = client.files.list(purpose=purpose, page_size=page_size)
            context.table(islice(found, limit), FILE_COLUMNS, file_row)
        else:
            page_size = min(limit, _MAX_BATCH_PAGE)
            context.table(islice(client.batches.list(page_size=page_size), limit), BATCH_COLUMNS, batch_row)


@click.command(short_help="Show a batch or a file.")
@click.argument("id_", metavar="ID")
@click.option("--file", is_flag=True, help="ID names a file.")
@click.pass_obj
def get(context: CliContext, id_: str, *, file: bool) -> None:
    """Print the batch with the id ID; with --file, the file with this id.

    Fields that are not set are left out, but not with --json.
    """
    with context.client() as client:
        context.describe(client.files.get(id_) if file else client.batches.get(id_))
