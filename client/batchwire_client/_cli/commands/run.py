"""`batchwire run`: the whole way from a file of requests to a file of answers."""

from pathlib import Path

import click

from batchwire_client._cli.context import App
from batchwire_client._cli.destination import Destination
from batchwire_client._cli.endpoint import endpoint_of
from batchwire_client._cli.exit_codes import code_of
from batchwire_client._cli.follow import see_through
from batchwire_client._cli.options import INPUT_FILE, OUTPUT_FILE, batch_options, force_option, require_content
from batchwire_client._cli.output import summary


@click.command(short_help="Upload, create, watch and download in one go.")
@click.argument("requests", type=INPUT_FILE)
@click.option("-o", "--output", type=OUTPUT_FILE, required=True, help="Where the answers go.")
@click.option("--errors", type=OUTPUT_FILE, help="Where failed lines go. Default: OUTPUT.errors.jsonl.")
@batch_options
@force_option
@click.pass_context
def run(
    context: click.Context,
    requests: Path,
    output: Path,
    errors: Path | None,
    endpoint: str | None,
    window: str,
    metadata: tuple[tuple[str, str], ...],
    *,
    force: bool,
) -> None:
    """Uploads REQUESTS (JSON Lines), runs it as a batch and downloads the answers.

    Interrupting leaves the batch running and says how to come back to it. With --json the ended batch is printed.
    """
    app: App = context.obj
    require_content(requests)
    if requests.absolute() in {path.absolute() for path in (output, errors) if path}:
        raise click.UsageError("The input cannot be the output.")
    destination = Destination.checked(output, errors, force=force)
    with app.client() as client:
        with app.display().transfer("upload") as progress:
            file = client.files.upload(requests, progress=progress)
        batch = client.batches.create(
            file, endpoint or _endpoint_in(requests), completion_window=window, metadata=dict(metadata)
        )
        app.note(f"batch {batch.id}")
        batch = see_through(app, client, batch.id, destination)
    app.give(batch, summary(batch))
    context.exit(code_of(batch))


def _endpoint_in(requests: Path) -> str:
    with requests.open("rb") as lines:
        return endpoint_of(lines)
