"""Handles `validate` tasks: reads the whole input, then accepts or rejects the batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import aclosing
from itertools import islice

from batchwire_server.core.catalog import Catalog, Served
from batchwire_server.core.errors import BlobNotFoundError, UnknownModelsError, shorten
from batchwire_server.core.limits import Limits
from batchwire_server.core.ports import BlobStore, TaskQueue
from batchwire_server.core.records import Batch, InputError, Task
from batchwire_server.core.validation import InputCheck, cannot_find_file

log = logging.getLogger(__name__)

FRESH_S = 2.0
"""Age in seconds up to which a reading of the catalog counts as current."""

MAX_NAMES = 3
"""The most models that a log message names."""


class Validator:
    """The handler of `validate`.

    Args:
        queue, blobs, catalog: the adapters that it works with.
        limits: the limits of inputs.
        mixed_models: whether the lines of a batch may name several models.
    """

    def __init__(
        self, queue: TaskQueue, blobs: BlobStore, catalog: Catalog, limits: Limits, *, mixed_models: bool
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._catalog = catalog
        self._limits = limits
        self._mixed_models = mixed_models

    async def __call__(self, task: Task) -> None:
        """Validate a batch.

        Raises:
            UnknownModelsError: no upstream that answers serves a model of the input, and one that
                does not answer might.
            LeaseLostError: another worker holds the task.
        """
        batch = await self._queue.batch_of(task)
        missing = cannot_find_file(batch.input_file_id, batch.tenant)
        if batch.input_key is None:
            await self._reject(task, [missing])
            return
        try:
            check = await self._read(batch, batch.input_key)
        except BlobNotFoundError:
            await self._reject(task, [missing])
            return
        if check.errors:
            await self._reject(task, check.errors)
        elif check.undecided:
            raise UnknownModelsError(f"no upstream that answers serves {', '.join(sorted(check.undecided))}")
        else:
            model = next(iter(check.models)) if len(check.models) == 1 else None
            await self._queue.accept(task, model, check.shards.shards)
            lines = sum(shard.lines for _, shard in check.shards.shards)
            log.info("batch %s is in progress: %d lines for %s", batch.id, lines, _named(check.models))

    async def _reject(self, task: Task, errors: Sequence[InputError]) -> None:
        await self._queue.reject(task, errors)
        log.info("batch %s is failed: %s", task.batch_id, ", ".join(sorted({error.code for error in errors})))

    async def _read(self, batch: Batch, key: str) -> InputCheck:
        # Read the catalog anew only if need be: an upstream that hangs must not delay all batches.
        served = self._catalog.last
        check = await self._read_with(served, batch, key)
        if check.unknown_models and (fresh := await self._catalog.read(FRESH_S)) is not served:
            check = await self._read_with(fresh, batch, key)
        return check

    async def _read_with(self, served: Served, batch: Batch, key: str) -> InputCheck:
        check = InputCheck(
            batch.endpoint,
            batch.input_bytes,
            served,
            self._limits,
            mixed_models=self._mixed_models,
            rules=batch.line_rules,
            replace_model=batch.replace_model,
        )
        async with aclosing(self._blobs.stream(key)) as blocks:
            async for block in blocks:
                # A thread keeps the event loop free for calls in flight and for heartbeats.
                if not await asyncio.to_thread(check.feed, block):
                    break
        check.finish()
        return check


def _named(models: Collection[str]) -> str:
    """Return some names of models, quoted, so that callers cannot write lines into the log."""
    names = [repr(shorten(model)) for model in islice(models, MAX_NAMES)]
    return ", ".join(names) + (f" and {len(models) - MAX_NAMES} more models" if len(models) > MAX_NAMES else "")
