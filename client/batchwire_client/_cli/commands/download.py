"""`batchwire download`: a file's content."""

import sys
from pathlib import Path

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.destination import require_free
from batchwire_client._cli.options import OUTPUT_FILE, force_option


@click.command(short_help="Write a file's content to stdout or a path.")
@click.argument("file_id")
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where to. Default: stdout.")
@force_option
@click.pass_obj
def download(app: App, file_id: str, output: Path | None, *, force: bool) -> None:
    """Writes the content of the file FILE_ID to stdout, or to a path."""
    if output is None:
        out = sys.stdout.buffer
        with app.client() as client:
            for chunk in client.files.download(file_id):
                out.write(chunk)
        return
    require_free(output, force=force)
    with app.client() as client, app.display().transfer(f"download {output.name}") as progress:
        file = client.files.download_to(file_id, output, progress=progress)
    app.give(file, str(output))
