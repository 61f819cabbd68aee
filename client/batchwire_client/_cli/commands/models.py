"""`batchwire models`: what batches may name."""

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.output import MODEL_COLUMNS, model_row


@click.command(short_help="List the models that batches may name.")
@click.pass_obj
def models(app: App) -> None:
    """Lists the models that batches may name."""
    with app.client() as client:
        app.table(client.models.list(), MODEL_COLUMNS, model_row)
