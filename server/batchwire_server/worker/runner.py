"""Handles `run` tasks: loads shards into the queues of their models, and follows their batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.errors import UnknownModelsError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BlobStore, TaskQueue
from batchwire_server.core.records import Batch, Task
from batchwire_server.core.scheduling.demand import ShardDemand
from batchwire_server.core.scheduling.pacing import Pacing
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import Lane
from batchwire_server.worker.model import ModelQueue
from batchwire_server.worker.result_writer import ResultWriter
from batchwire_server.worker.shard_run import ShardRun, load

log = logging.getLogger(__name__)

JOINING_S = 0.15
"""Seconds after a worker's first shard of a model, in which other workers may start on it too."""

JOINING_PARTS = 4
"""Workers that are assumed to share the model during that time, at least."""

MAX_SHARDS_AT_ONCE = 8
"""The most shards of one claim."""


def _pacing(route: Route) -> Pacing | None:
    if not route.requests_per_minute and not route.tokens_per_minute:
        return None
    return Pacing(route.requests_per_minute, route.tokens_per_minute, time.monotonic())


class Runner:
    """All shards that a worker holds.

    Args:
        queue, blobs, catalog: the adapters that it works with.
        policy: how failed calls are retried.
        flush_interval_s: seconds between writes of finished lines.
        cancel_grace_s: seconds that calls in flight may continue after their batch was cancelled.
        may_call: returns whether the worker's leases are valid.
        on_demand: called when more shards may be claimed.

    Attributes:
        writer: what records the finished lines.
        runs: the shards that it holds, by task id.
    """

    def __init__(
        self,
        queue: TaskQueue,
        blobs: BlobStore,
        catalog: Catalog,
        *,
        policy: RetryPolicy,
        flush_interval_s: float,
        cancel_grace_s: float,
        may_call: Callable[[], bool],
        on_demand: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._catalog = catalog
        self._policy = policy
        self._cancel_grace_s = cancel_grace_s
        self._may_call = may_call
        self._on_demand = on_demand
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._models: dict[str, ModelQueue] = {}
        self._routes: dict[Lane, Route] = {}
        self.writer = ResultWriter(queue, blobs, flush_interval_s, self._closed)
        self.runs: dict[int, ShardRun] = {}
        self._joined: dict[str, float] = {}
        self._sharing: set[asyncio.Task[None]] = set()

    async def start(self, task: Task) -> None:
        """Load a shard, and queue its lines.

        Raises:
            UnknownModelsError: no upstream serves its model now.
            LeaseLostError: another worker holds the task.
        """
        batch = self._running_batch(task) or await self._queue.batch_of(task)
        run = ShardRun(task, batch, self.writer.note)
        if batch.status is not BatchStatus.IN_PROGRESS:
            run.stop()
            self._add(run)
            return
        assert task.model
        assert task.deadline
        # Read the catalog anew only if need be: upstreams that do not answer must not delay others.
        routes = self._catalog.last.routes_of(task.model) or (await self._catalog.read()).routes_of(task.model)
        if not routes:
            raise UnknownModelsError(f"no upstream serves model {task.model}")
        lines = await load(run, self._queue, self._blobs)
        self._add(run)
        time_left_s = (task.deadline - task.claimed_at) / 1000
        self._timers[task.id] = asyncio.get_running_loop().call_later(time_left_s, run.cancel)
        queue = self._model_queue(task.model, routes)
        if len([held for held in self.runs.values() if held.task.model == task.model]) == 1:
            await self._join(task.model)
        queue.push(lines)

    async def _join(self, model: str) -> None:
        """Divide the capacity of a model of which this worker has just got its first shard.

        Several workers may start on the model at once without seeing each other, so for
        `JOINING_S` each assumes that at least `JOINING_PARTS` share it.
        """
        self._joined[model] = time.monotonic()
        self.share(await self._queue.model_shares())
        sharing = asyncio.create_task(self._share_again())
        self._sharing.add(sharing)
        sharing.add_done_callback(self._sharing.discard)

    async def _share_again(self) -> None:
        await asyncio.sleep(JOINING_S)
        try:
            self.share(await self._queue.model_shares())
        except Exception:
            log.exception("dividing the slots among the workers failed; the next try is within a second")

    def _running_batch(self, task: Task) -> Batch | None:
        """Return the batch of a task if it runs here: `follow` would have reported its end."""
        running = (run.batch for run in self.runs.values() if run.task.batch_id == task.batch_id and not run.stopped)
        return next(running, None)

    def _add(self, run: ShardRun) -> None:
        if old := self.runs.get(run.task.id):  # its lease was lost, and claimed again
            self._forget(old)
            old.abort()
        self.runs[run.task.id] = run
        self.writer.add(run)

    def _closed(self, run: ShardRun) -> None:
        if self.runs.get(run.task.id) is run:
            self._forget(run)
        self._on_demand()

    def _may_call_now(self) -> bool:
        return self._may_call() and not self.writer.stalled

    def _forget(self, run: ShardRun) -> None:
        del self.runs[run.task.id]
        if timer := self._timers.pop(run.task.id, None):
            timer.cancel()

    def _model_queue(self, model: str, routes: Iterable[Route]) -> ModelQueue:
        queue = self._models.get(model)
        if queue is None:
            queue = self._models[model] = ModelQueue(self._policy, self._may_call_now, self._on_demand)
        known = [self._routes[lane] for lane in queue.lanes]
        for route in routes:
            if route not in known:
                lane = Lane(route.upstream, queue, route.max_concurrency, _pacing(route))
                queue.lanes.append(lane)
                self._routes[lane] = route
        return queue

    @property
    def stalled(self) -> bool:
        """Whether writing results fails, so that no more shards may be claimed."""
        return self.writer.stalled

    def demand(self) -> ShardDemand:
        """Return the shards to claim now."""
        shards = {model: queue.shard_demand for model, queue in self._models.items()}
        return ShardDemand(
            full_models=[model for model, queue in self._models.items() if queue.full],
            saturated=[
                (model, tenant) for model, queue in self._models.items() if not queue.demand for tenant in queue.tenants
            ],
            max_shards={model: max(1, demand) for model, demand in shards.items()},
            limit=max(1, min(MAX_SHARDS_AT_ONCE, sum(shards.values()))),
        )

    def claimed(self, demand: ShardDemand, shards: int) -> None:
        """Record how many shards a claim for a demand returned.

        If it returned none, the queue has no shard of the models that were open to every tenant.
        """
        restricted = {*demand.full_models, *(model for model, _ in demand.saturated)}
        for model, queue in self._models.items():
            queue.queue_empty = not shards and model not in restricted

    def share(self, workers: Mapping[str, int]) -> None:
        """Divide the capacity of each model's upstreams among the workers that run it.

        Args:
            workers: number of workers that hold shards of a model.
        """
        now = time.monotonic()
        for model, queue in self._models.items():
            parts = max(1, workers.get(model, 1))
            if now < self._joined.get(model, float("-inf")) + JOINING_S:
                parts = max(parts, JOINING_PARTS)
            for lane in queue.lanes:
                lane.share(self._routes[lane].max_concurrency, parts)
            queue.measure()
            queue.pump()

    def follow(self, task_id: int, status: BatchStatus | None) -> None:
        """Act on the state of a shard's batch: end the run once the batch has left IN_PROGRESS."""
        run = self.runs.get(task_id)
        if run is None or run.stopped or status is BatchStatus.IN_PROGRESS:
            return
        if status is BatchStatus.CANCELLING:
            run.stop()
            if timer := self._timers.pop(task_id, None):
                timer.cancel()
            left = max(0.0, self._cancel_grace_s)
            self._timers[task_id] = asyncio.get_running_loop().call_later(left, run.cancel)
        else:
            run.cancel()

    async def hand_over(self, grace_s: float) -> None:
        """Stop all runs, and write what has finished. The pending lines are left to other workers.

        Args:
            grace_s: seconds that lines in flight may continue, and that failed writes are retried.
        """
        end = time.monotonic() + grace_s
        for run in self.runs.values():
            run.hand_over()
        if in_flight := {call for run in self.runs.values() for call in run.in_flight}:
            await asyncio.wait(in_flight, timeout=grace_s)
        for run in list(self.runs.values()):
            run.cancel()
        for queue in self._models.values():
            await queue.close()
        await self.writer.write_all(max(end, time.monotonic() + grace_s / 2))

    def suspend(self) -> None:
        """Cancel the calls in flight, because the leases were not renewed in time.

        Finished lines are kept. They count, and the other lines are called again, if the shards
        still belong to this worker once the leases are renewed.
        """
        for run in self.runs.values():
            run.cancel_calls()
