"""What the tests of the worker share: lines, runs, and an environment in which workers run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core import blob_keys
from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.limits import Limits
from batchwire_server.core.records import Batch, Shard, Task, TaskKind
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.handlers.finalize import Finalizer
from batchwire_server.worker.handlers.sweep import Sweeper
from batchwire_server.worker.handlers.validate import Validator
from batchwire_server.worker.lane import Lane
from batchwire_server.worker.model import ModelQueue
from batchwire_server.worker.runner import Runner
from batchwire_server.worker.shard_run import ShardRun
from batchwire_server.worker.worker import Worker

from tests.ports.stores import StoreHarness, a_batch
from tests.support.scripted_upstream import TIMEOUT_S, ScriptedUpstream

URL = "/v1/completions"
QUICK = RetryPolicy(max_attempts=3, base_s=0.002, cap_s=0.01)


def body(number: int, model: str = "m") -> bytes:
    """Return the body of a line."""
    return b'{"model":"%b","n":%d}' % (model.encode(), number)


def input_line(number: int, model: str = "m") -> bytes:
    """Return a line of an input."""
    return b'{"custom_id":"id-%d","method":"POST","url":"%b","body":%b}\n' % (number, URL.encode(), body(number, model))


def number_of(asked: bytes) -> int:
    """Return the number of the line that a body belongs to."""
    return int(json.loads(asked)["n"])


def a_run(
    numbers: Iterable[int] = range(1, 2),
    *,
    task_id: int = 1,
    epoch: int = 1,
    tenant: str = "acme",
    on_progress: Callable[[ShardRun], None] = lambda _: None,
) -> tuple[ShardRun, list[Any]]:
    """Return a run and its lines."""
    shard = Shard(0, 0, 100, 1, 10)
    task = Task(task_id, TaskKind.RUN, epoch, 1, 0, "batch_1", tenant, "m", 10**15, shard)
    batch = replace(a_batch(tenant), id="batch_1", status=BatchStatus.IN_PROGRESS)
    run = ShardRun(task, batch, on_progress)
    return run, run.add_lines((number, input_line(number)) for number in numbers)


class Environment:
    """Workers in this process, with the stores that they share."""

    def __init__(self, harness: StoreHarness, blobs: MemoryBlobs) -> None:
        self.harness = harness
        self.store = harness.store
        self.blobs = blobs
        self.workers: list[Worker] = []
        self._running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def batch(self, data: bytes, **more: Any) -> Batch:
        """Create a batch with an input."""
        made = a_batch(input_bytes=len(data), **more)
        made = replace(made, input_key=blob_keys.file_key(made.id))
        await self.blobs.put(str(made.input_key), data)
        return await self.store.add_batch(made)

    def runner(self, routes: Sequence[Route], *, cancel_grace_s: float = 60.0, **more: Any) -> Runner:
        """Return the handler of `run`."""
        options: dict[str, Any] = {"policy": QUICK, "may_call": lambda: True, "on_demand": lambda: None, **more}
        return Runner(
            self.store,
            self.blobs,
            Catalog(routes),
            flush_interval_s=0.02,
            cancel_grace_s=cancel_grace_s,
            **options,
        )

    def validator(self, catalog: Catalog, *, mixed_models: bool = True, **limits: Any) -> Validator:
        """Return the handler of `validate`."""
        return Validator(self.store, self.blobs, catalog, Limits(**limits), mixed_models=mixed_models)

    def finalizer(self) -> Finalizer:
        """Return the handler of `finalize`."""
        return Finalizer(self.store, self.blobs, default_lifetime=3600)

    def worker(
        self, routes: Sequence[Route], name: str = "w1", *, ttl_s: float = 30.0, heartbeat_s: float = 0.5, **more: Any
    ) -> Worker:
        """Return a worker."""
        catalog = Catalog(routes)
        return Worker(
            name,
            more.pop("queue", self.store),
            Ticks(),
            {
                TaskKind.VALIDATE: self.validator(catalog),
                TaskKind.EXPIRE: self.store.expire,
                TaskKind.FINALIZE: self.finalizer(),
                TaskKind.SWEEP: Sweeper(
                    self.store, self.store, self.blobs, interval_s=3600, result_lifetime=3600, batch_lifetime=0
                ),
            },
            lambda may_call, on_demand: self.runner(routes, may_call=may_call, on_demand=on_demand, **more),
            ttl_s=ttl_s,
            heartbeat_s=heartbeat_s,
        )

    def start(self, worker: Worker, grace_s: float = 0.05) -> tuple[asyncio.Event, asyncio.Task[None]]:
        """Run a worker until the returned event is set, or the test is over."""
        stop = asyncio.Event()
        self.workers.append(worker)
        running = stop, asyncio.create_task(worker.run(stop, grace_s))
        self._running.append(running)
        return running

    def forget(self, killed: asyncio.Task[None]) -> None:
        """Drop a worker that the test has killed."""
        self._running = [running for running in self._running if running[1] is not killed]

    async def close(self) -> None:
        """Stop all workers."""
        for stop, _ in self._running:
            stop.set()
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(running for _, running in self._running))

    async def current(self, batch: Batch) -> Batch:
        """Return the current row of a batch."""
        found = await self.store.get_batch(batch.tenant, batch.id)
        assert found
        return found

    async def wait_for(self, batch: Batch, condition: Callable[[Batch], object]) -> Batch:
        """Wait until a batch meets a condition, and return it."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition(found := await self.current(batch)):  # noqa: ASYNC110 - a batch has no event
                await asyncio.sleep(0.02)
        return found

    async def ended(self, batch: Batch) -> Batch:
        """Wait until a batch has ended, and return it."""
        return await self.wait_for(batch, lambda found: found.status in TERMINAL)

    async def lines_of(self, batch: Batch, file_id: str | None) -> list[dict[str, Any]]:
        """Return the lines of one of a batch's files."""
        if file_id is None:
            return []
        file = await self.store.get_file(batch.tenant, file_id)
        assert file
        data = self.blobs.blobs[file.blob_key]
        lines = data.splitlines(keepends=True)
        assert (file.bytes, file.line_count) == (len(data), len(lines))
        assert all(one.endswith(b"\n") for one in lines)
        return [json.loads(one) for one in lines]

    async def files(self, batch: Batch) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the lines of output and error file, after checks that hold for every batch.

        Each line is in one of the files once, both are in input order, and the counts agree.
        """
        found = await self.current(batch)
        output = await self.lines_of(found, found.output_file_id)
        errors = await self.lines_of(found, found.error_file_id)
        assert (len(output), len(errors)) == (found.completed, found.failed)
        assert len(output) + len(errors) == found.total
        assert (found.output_file_id is None, found.error_file_id is None) == (not output, not errors)
        seen = [entry["custom_id"] for entry in (*output, *errors)]
        assert len(seen) == len(set(seen))
        for entries in (output, errors):
            numbers = [int(entry["id"][-7:]) for entry in entries]
            assert numbers == sorted(numbers)
        return output, errors


class Ticks:
    """A ChangeFeed that reports a change every 20 ms."""

    def __init__(self) -> None:
        self._count = 0

    async def wait(self, seen: int, timeout: float) -> int:
        """Return the next value of the counter after 20 ms."""
        await asyncio.sleep(0.02)
        self._count += 1
        return self._count


@asynccontextmanager
async def queue_of(
    *upstreams: ScriptedUpstream,
    policy: RetryPolicy = QUICK,
    cap: int = 256,
    may_call: Callable[[], bool] = lambda: True,
) -> AsyncIterator[ModelQueue]:
    """Yield a queue with a lane per upstream, and close it."""
    queue = ModelQueue(policy, may_call, lambda: None)
    queue.lanes.extend(Lane(upstream, queue, cap) for upstream in upstreams)
    yield queue
    await queue.close()


def finished(run: ShardRun) -> list[int]:
    """Return the numbers of a run's finished lines."""
    return sorted(line.number for line in run.finished)
