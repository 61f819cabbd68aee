"""Sees a batch through: watches it, fetches its files, says how it ended."""

import shlex
from collections.abc import Callable
from pathlib import Path

from batchwire import v1

from batchwire_client._cli.context import App
from batchwire_client._cli.destination import Destination
from batchwire_client._cli.exit_codes import INTERRUPTED, Ended
from batchwire_client._cli.refusals import print_refusals
from batchwire_client._sync.client import Client


def see_through(
    app: App,
    client: Client,
    batch_id: str,
    destination: Destination | None,
    each: Callable[[v1.Batch], None] = lambda _: None,
) -> v1.Batch:
    """Watches a batch to its end and fetches its files, if there is a place for them.

    Args:
        app: Where to show and to say.
        client: The server.
        batch_id: Id of the batch.
        destination: Where its files go; None leaves them on the server.
        each: Told every snapshot.

    Returns:
        The batch as it ended.

    Raises:
        Ended: Interrupted; the batch goes on.
    """
    try:
        batch = _watch(app, client, batch_id, each)
        if batch.errors:
            print_refusals(batch, app.console)
        if destination is not None and batch.status != v1.BATCH_STATUS_FAILED:
            _fetch(app, client, batch, destination)
    except KeyboardInterrupt:
        raise Ended(
            f"interrupted; the batch goes on. To resume: {_resume_command(batch_id, destination)}", INTERRUPTED
        ) from None
    return batch


def _watch(app: App, client: Client, batch_id: str, each: Callable[[v1.Batch], None]) -> v1.Batch:
    batch = v1.Batch()
    with app.display().batch() as show:
        for batch in client.batches.watch(batch_id):
            show(batch)
            each(batch)
    return batch


def _fetch(app: App, client: Client, batch: v1.Batch, destination: Destination) -> None:
    if batch.output_file_id:
        _download(app, client, batch.output_file_id, destination.output)
    else:
        app.note(f"No line was answered, so there is no output: {destination.output} was not written.")
    if batch.error_file_id:
        _download(app, client, batch.error_file_id, destination.errors)
        app.note(f"{batch.request_counts.failed:,} lines failed; they are in {destination.errors}")


def _download(app: App, client: Client, file_id: str, path: Path) -> None:
    with app.display().transfer(f"download {path.name}") as progress:
        client.files.download_to(file_id, path, progress=progress)


def _resume_command(batch_id: str, destination: Destination | None) -> str:
    paths = ["--output", str(destination.output), "--errors", str(destination.errors)] if destination else []
    return shlex.join(["batchwire", "watch", batch_id, *paths])
