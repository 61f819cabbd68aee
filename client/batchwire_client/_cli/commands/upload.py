"""`batchwire upload`: stores a file."""

from pathlib import Path

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.options import INPUT_FILE, require_content


@click.command(short_help="Store a file.")
@click.argument("path", metavar="FILE", type=INPUT_FILE)
@click.option("--filename", help="Name to store it under. Default: the file's own.")
@click.option("--purpose", default="batch", show_default=True, help="What it is for.")
@click.option("--expires-after", type=int, metavar="SECONDS", help="Delete it so long after its creation.")
@click.option("--in-parts", is_flag=True, help="Send it in parallel parts, each sent again when its connection breaks.")
@click.pass_obj
def upload(
    app: App, path: Path, filename: str | None, purpose: str, expires_after: int | None, *, in_parts: bool
) -> None:
    """Stores FILE and prints its id."""
    require_content(path)
    with app.client() as client, app.display().transfer("upload") as progress:
        send = client.uploads.upload_in_parts if in_parts else client.files.upload
        file = send(path, filename=filename, purpose=purpose, expires_after=expires_after, progress=progress)
    app.give(file, file.id)
