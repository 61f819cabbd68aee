"""Watches a batch until it ends and downloads its files, for `run` and `watch`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from batchwire import v1

from batchwire_client._cli.context import CliContext
from batchwire_client._cli.exit_codes import INTERRUPTED, CliError
from batchwire_client._cli.options import Destination
from batchwire_client._cli.output import print_input_errors
from batchwire_client._sync.client import Client


def follow(
    context: CliContext,
    client: Client,
    batch_id: str,
    destination: Destination | None,
    on_snapshot: Callable[[v1.Batch], None] = lambda _: None,
) -> v1.Batch:
    """Watch a batch until it ends, download its files, and return the ended batch.

    Args:
        context: context of the command, which shows progress.
        client: client of the server.
        batch_id: id of the batch.
        destination: paths of the downloaded files. None downloads nothing.
        on_snapshot: called with every snapshot.

    Raises:
        CliError: The user pressed Ctrl-C. The batch continues.
    """
    try:
        batch = _watch(context, client, batch_id, on_snapshot)
        if batch.errors:
            print_input_errors(batch, context.console)
        if destination is not None and batch.status != v1.BATCH_STATUS_FAILED:
            _download_all(context, client, batch, destination)
    except KeyboardInterrupt:
        command = _resume_command(batch_id, destination)
        raise CliError(f"interrupted; the batch continues. To resume: {command}", INTERRUPTED) from None
    return batch


def _watch(context: CliContext, client: Client, batch_id: str, on_snapshot: Callable[[v1.Batch], None]) -> v1.Batch:
    batch = v1.Batch()
    with context.display().batch() as show:
        for batch in client.batches.watch(batch_id):
            show(batch)
            on_snapshot(batch)
    return batch


def _download_all(context: CliContext, client: Client, batch: v1.Batch, destination: Destination) -> None:
    if batch.output_file_id:
        _download(context, client, batch.output_file_id, destination.output)
    else:
        context.note(f"No line succeeded, so there is no output file. {destination.output} was not written.")
    if batch.error_file_id:
        _download(context, client, batch.error_file_id, destination.errors)
        failed = batch.request_counts.failed
        context.note(f"{failed:,} {'line' if failed == 1 else 'lines'} failed; see {destination.errors}")


def _download(context: CliContext, client: Client, file_id: str, path: Path) -> None:
    with context.display().transfer(f"download {path.name}") as progress:
        client.files.download_to(file_id, path, progress=progress)


def _resume_command(batch_id: str, destination: Destination | None) -> str:
    paths = ["--output", str(destination.output), "--errors", str(destination.errors)] if destination else []
    return shlex.join(["batchwire", "watch", batch_id, *paths])
