"""`batchwire cancel`: ends a batch early."""

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.output import summary


@click.command(short_help="End a batch early.")
@click.argument("batch_id")
@click.pass_obj
def cancel(app: App, batch_id: str) -> None:
    """Asks for the batch BATCH_ID to end early. What has finished is kept."""
    with app.client() as client:
        batch = client.batches.cancel(batch_id)
    app.give(batch, summary(batch))
