"""Commands on files: upload, download."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batchwire_client._cli.context import CliContext
from batchwire_client._cli.options import INPUT_FILE, OUTPUT_FILE, force_option, require_content, require_free


@click.command(short_help="Upload a file.")
@click.argument("path", metavar="FILE", type=INPUT_FILE)
@click.option("--filename", metavar="NAME", help="Name of the stored file. Default: the name of FILE.")
@click.option(
    "--purpose",
    metavar="PURPOSE",
    default="batch",
    show_default=True,
    help='Purpose of the file; "batch" for an input file.',
)
@click.option(
    "--expires-after",
    type=int,
    metavar="SECONDS",
    help="Delete the file this long after its creation, from 3600 to 2592000. "
    "Default: 30 days for the purpose batch, never for others.",
)
@click.option(
    "--in-parts", is_flag=True, help="Send the file in parallel parts, and send a part again if its connection breaks."
)
@click.pass_obj
def upload(
    context: CliContext, path: Path, filename: str | None, purpose: str, expires_after: int | None, *, in_parts: bool
) -> None:
    """Upload FILE and print the id of the stored file.

    `batchwire create` makes a batch from it. With --json, the stored file is printed.
    """
    require_content(path)
    with context.client() as client, context.display().transfer("upload") as progress:
        send = client.uploads.upload_in_parts if in_parts else client.files.upload
        file = send(path, filename=filename, purpose=purpose, expires_after=expires_after, progress=progress)
    context.print_result(file, file.id)


@click.command(short_help="Print or save the content of a file.")
@click.argument("file_id")
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where to write the content. Default: stdout.")
@force_option
@click.pass_obj
def download(context: CliContext, file_id: str, output: Path | None, *, force: bool) -> None:
    """Write the content of the stored file FILE_ID to stdout, or to a file with --output.

    The SHA-256 of the content is checked. If the download fails, --output leaves no partial file.
    """
    if output is None:
        out = sys.stdout.buffer
        with context.client() as client:
            for chunk in client.files.download(file_id):
                out.write(chunk)
        return
    require_free(output, force=force)
    with context.client() as client, context.display().transfer(f"download {output.name}") as progress:
        file = client.files.download_to(file_id, output, progress=progress)
    context.print_result(file, str(output))
