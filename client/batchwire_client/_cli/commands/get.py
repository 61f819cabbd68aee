"""`batchwire get`: one batch, or one file's description."""

import click

from batchwire_client._cli.context import App


@click.command(short_help="Describe one batch, or one file.")
@click.argument("id_", metavar="ID")
@click.option("--file", is_flag=True, help="ID names a file, not a batch.")
@click.pass_obj
def get(app: App, id_: str, *, file: bool) -> None:
    """Prints all that is known of the batch ID."""
    with app.client() as client:
        app.describe(client.files.get(id_) if file else client.batches.get(id_))
