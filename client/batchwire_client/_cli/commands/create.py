"""`batchwire create`: starts a batch on a stored file."""

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.endpoint import LOOK_AT_BYTES, endpoint_of
from batchwire_client._cli.options import batch_options


@click.command(short_help="Start a batch on a stored file.")
@click.argument("file_id")
@batch_options
@click.pass_obj
def create(app: App, file_id: str, endpoint: str | None, window: str, metadata: tuple[tuple[str, str], ...]) -> None:
    """Creates a batch from the file FILE_ID and prints its id."""
    with app.client() as client:
        path = endpoint or endpoint_of(client.files.download(file_id, limit=LOOK_AT_BYTES))
        batch = client.batches.create(file_id, path, completion_window=window, metadata=dict(metadata))
    app.give(batch, batch.id)
