"""`batchwire run`: from a file of requests to a file of answers."""

from __future__ import annotations

from pathlib import Path

import click

from batchwire_client._cli.context import CliContext
from batchwire_client._cli.exit_codes import exit_code_of
from batchwire_client._cli.follow import follow
from batchwire_client._cli.options import (
    INPUT_FILE,
    OUTPUT_FILE,
    Destination,
    batch_options,
    endpoint_of,
    errors_option,
    force_option,
    require_content,
)
from batchwire_client._cli.output import summary


@click.command(short_help="Upload, create, watch and download in one step.")
@click.argument("requests", type=INPUT_FILE)
@click.option("-o", "--output", type=OUTPUT_FILE, required=True, help="Path for the answers.")
@errors_option
@batch_options
@force_option
@click.pass_context
def run(
    ctx: click.Context,
    requests: Path,
    output: Path,
    errors: Path | None,
    endpoint: str | None,
    window: str,
    metadata: tuple[tuple[str, str], ...],
    *,
    force: bool,
) -> None:
    """Upload REQUESTS (JSON Lines), run it as a batch and download the answers.

    An interrupt leaves the batch running, and prints the command that resumes watching it. With
    --json the ended batch is printed.
    """
    context: CliContext = ctx.obj
    require_content(requests)
    if requests.absolute() in {path.absolute() for path in (output, errors) if path}:
        raise click.UsageError("The input cannot be the output.")
    destination = Destination.checked(output, errors, force=force)
    with context.client() as client:
        with context.display().transfer("upload") as progress:
            file = client.files.upload(requests, progress=progress)
        batch = client.batches.create(
            file, endpoint or _endpoint_in(requests), completion_window=window, metadata=dict(metadata)
        )
        context.note(f"batch {batch.id}")
        batch = follow(context, client, batch.id, destination)
    context.print_result(batch, summary(batch))
    ctx.exit(exit_code_of(batch))


def _endpoint_in(requests: Path) -> str:
    with requests.open("rb") as lines:
        return endpoint_of(lines)
