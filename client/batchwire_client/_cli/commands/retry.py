"""`batchwire retry`: runs again what failed."""

import click

from batchwire_client._cli.context import App


@click.command(short_help="Start a batch of another's failed lines.")
@click.argument("batch_id")
@click.option("--window", default="", metavar="TIME", help="Time given, such as 24h. Default: as that batch had.")
@click.pass_obj
def retry(app: App, batch_id: str, window: str) -> None:
    """Creates a batch of those lines of the ended batch BATCH_ID that failed or never ran, and prints its id."""
    with app.client() as client:
        batch = client.batches.retry(batch_id, completion_window=window)
    app.give(batch, batch.id)
