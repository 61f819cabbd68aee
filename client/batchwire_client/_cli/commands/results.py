"""`batchwire results`: finished lines while the batch runs."""

import sys

import click

from batchwire_client._cli.context import App


@click.command(short_help="Print finished lines while the batch runs.")
@click.argument("batch_id")
@click.pass_obj
def results(app: App, batch_id: str) -> None:
    """Prints the finished lines of the batch BATCH_ID as they come, and ends with the batch.

    They are lines of its output and error file, in the order in which they finished.
    """
    out = sys.stdout.buffer
    with app.client() as client:
        for message in client.batches.stream_results(batch_id):
            out.write(message.data)
            out.flush()
