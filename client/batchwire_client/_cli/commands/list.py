"""`batchwire list`: batches, or files."""

from itertools import islice

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.output import BATCH_COLUMNS, FILE_COLUMNS, batch_row, file_row

_LARGEST_BATCH_PAGE = 100
_LARGEST_FILE_PAGE = 10_000


@click.command("list", short_help="List batches, or files.")
@click.option("--files", is_flag=True, help="List files instead of batches.")
@click.option("--purpose", default="", help="Only files of this purpose.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@click.pass_obj
def list_(app: App, purpose: str, limit: int, *, files: bool) -> None:
    """Lists batches, newest first."""
    with app.client() as client:
        if files or purpose:
            page_size = min(limit, _LARGEST_FILE_PAGE)
            app.table(islice(client.files.list(purpose=purpose, page_size=page_size), limit), FILE_COLUMNS, file_row)
        else:
            page_size = min(limit, _LARGEST_BATCH_PAGE)
            app.table(islice(client.batches.list(page_size=page_size), limit), BATCH_COLUMNS, batch_row)
