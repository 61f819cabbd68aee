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
@click.option("-o", "--output", type=OUTPUT_FILE, required=True, help="Where to write the lines that succeeded.")
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
    """Run the requests in the file REQUESTS and write their results to files.

    Uploads REQUESTS, creates a batch, waits until it ends, and downloads its output and its error
    file. REQUESTS has one request per line, in the format of OpenAI's Batch API:

    \b
      {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions",
       "body": {"model": "MODEL", "messages": [{"role": "user", "content": "Hi"}]}}

    Prints one line with the batch's status and counts; with --json, the ended batch. Ctrl-C leaves
    the batch running and prints the command that resumes.
    """  # noqa: D301 - click needs the backspace character that keeps lines as they are
    context: CliContext = ctx.obj
    require_content(requests)
    if requests.absolute() in {path.absolute() for path in (output, errors) if path}:
        raise click.UsageError(f"The input cannot be the output: {requests} is named twice.")
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
