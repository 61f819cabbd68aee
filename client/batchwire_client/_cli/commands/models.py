"""The command on models."""

from __future__ import annotations

import click

from batchwire_client._cli.context import CliContext
from batchwire_client._cli.output import MODEL_COLUMNS, model_row


@click.command(short_help="List the models that requests can name.")
@click.pass_obj
def models(context: CliContext) -> None:
    """List the models that requests can name, and who owns them."""
    with context.client() as client:
        context.table(client.models.list(), MODEL_COLUMNS, model_row)
