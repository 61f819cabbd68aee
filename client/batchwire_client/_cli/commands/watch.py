"""`batchwire watch`: follows a batch to its end."""

from pathlib import Path

import click
from batchwire import v1

from batchwire_client._cli.context import App
from batchwire_client._cli.destination import Destination
from batchwire_client._cli.exit_codes import code_of
from batchwire_client._cli.follow import see_through
from batchwire_client._cli.options import OUTPUT_FILE, force_option
from batchwire_client._cli.output import summary
from batchwire_client._cli.plain import json_line


@click.command(short_help="Follow a batch to its end.")
@click.argument("batch_id")
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where the answers go. Default: they stay on the server.")
@click.option("--errors", type=OUTPUT_FILE, help="Where failed lines go. Default: OUTPUT.errors.jsonl.")
@force_option
@click.pass_context
def watch(context: click.Context, batch_id: str, output: Path | None, errors: Path | None, *, force: bool) -> None:
    """Follows the batch BATCH_ID until it has ended; with --output also downloads its files.

    With --json every snapshot is printed, the last one being the ended batch.
    """
    app: App = context.obj
    if errors and not output:
        raise click.UsageError("--errors needs --output.")
    destination = Destination.checked(output, errors, force=force) if output else None

    def print_snapshot(batch: v1.Batch) -> None:
        if app.json:
            click.echo(json_line(batch))

    with app.client() as client:
        batch = see_through(app, client, batch_id, destination, print_snapshot)
    if not app.json:
        click.echo(summary(batch))
    context.exit(code_of(batch))
