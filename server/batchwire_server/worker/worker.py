"""A worker: claims tasks, passes each to the handler of its kind, and keeps its leases."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from batchwire_server.core.errors import LeaseLostError, UnknownModelsError
from batchwire_server.core.ports import ChangeFeed, ClaimRequest, HeldTask, TaskQueue
from batchwire_server.core.records import Task, TaskKind
from batchwire_server.worker.leases import Leases
from batchwire_server.worker.runner import Runner

log = logging.getLogger(__name__)

HANDLERS_AT_ONCE = 4
DELIVERIES_AT_ONCE = 16
"""Bounded apart from the other kinds: slow receivers of webhooks must not delay batches."""

IDLE_S = 1.0
"""Seconds between claims without a change notification, and after a claim that failed."""

FORGOTTEN_S = 5.0
"""Seconds between checks for leased tasks that nothing here works on."""

SHARE_S = 1.0
UNKNOWN_MODELS_DELAY_S = 5.0
FAILURE_DELAY_S = 60.0
"""The longest delay before a failed task is retried."""

Handler = Callable[[Task], Awaitable[None]]


class Worker:
    """A consumer of the task queue.

    Args:
        name: the name of its leases' holder; no two workers share one.
        queue: the task queue.
        changes: notifies of changes after which more may be claimable.
        handlers: the handler of each kind of task but `run`.
        make_runner: makes the handler of `run`. Its arguments tell whether the leases are valid,
            and what to call when more shards may be claimed.
        ttl_s, heartbeat_s: seconds that a lease lasts, and between renewals.
    """

    def __init__(
        self,
        name: str,
        queue: TaskQueue,
        changes: ChangeFeed,
        handlers: Mapping[TaskKind, Handler],
        make_runner: Callable[[Callable[[], bool], Callable[[], None]], Runner],
        *,
        ttl_s: float,
        heartbeat_s: float,
    ) -> None:
        self._name = name
        self._queue = queue
        self._changes = changes
        self._handlers = handlers
        at_once = {kind: DELIVERIES_AT_ONCE if kind is TaskKind.DELIVER else HANDLERS_AT_ONCE for kind in handlers}
        self._groups = [
            ([kind for kind in handlers if at_once[kind] == most], most) for most in sorted(set(at_once.values()))
        ]
        self._others_claimed = time.monotonic()  # when tasks other than shards were last claimed
        self._freed = False  # whether a handler has ended since then
        self._ttl_s = ttl_s
        self._wake = asyncio.Event()
        self._handling: dict[int, tuple[Task, asyncio.Task[None]]] = {}
        self._starting: dict[int, int] = {}
        self._runner = make_runner(lambda: self._leases.valid, self._wake.set)
        self._forgotten_checked = time.monotonic()
        self._leases = Leases(
            queue,
            name,
            ttl_s=ttl_s,
            heartbeat_s=heartbeat_s,
            holding=self._holding,
            on_held=self._follow,
            on_lost=self._lost,
            on_stale=self._stale,
        )

    async def run(self, stop: asyncio.Event, grace_s: float) -> None:
        """Work until `stop` is set, then hand over what it holds.

        Args:
            stop: ends the worker.
            grace_s: seconds that work in progress may continue after that.
        """
        # Leases of this name belong to a process that has ended without releasing them.
        await self._queue.release_worker(self._name, crashed=True)
        background = [
            asyncio.create_task(self._runner.writer.run()),
            asyncio.create_task(self._leases.run()),
            asyncio.create_task(self._share()),
        ]
        claiming = asyncio.create_task(self._claim_forever())
        try:
            await stop.wait()
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)
            await self._drain(grace_s)
        finally:
            for task in (claiming, *background):
                task.cancel()
            await asyncio.gather(claiming, *background, return_exceptions=True)
        await self._release_all(time.monotonic() + grace_s)

    async def _release_all(self, end: float) -> None:
        """Release all leases, retrying until the time `end` on the monotonic clock."""
        while True:
            try:
                await self._queue.release_worker(self._name, crashed=False)
            except Exception:
                if time.monotonic() > end:
                    raise
                log.warning("releasing the tasks of worker %s failed; trying again", self._name, exc_info=True)
                await asyncio.sleep(IDLE_S / 4)
            else:
                return

    async def _drain(self, grace_s: float) -> None:
        handling = [running for _, running in self._handling.values()]
        if handling:
            await asyncio.wait(handling, timeout=grace_s)
        for running in handling:
            running.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await self._runner.hand_over(grace_s)

    async def _claim_forever(self) -> None:
        seen, changed = 0, True
        while True:
            self._wake.clear()
            try:
                await self._release_forgotten()
                # Most often the loop was woken because a model has demand: then only shards matter.
                others = await self._claim_others() if changed or self._others_may_be_due() else False
                shards = await self._claim_shards()
            except Exception:
                log.exception("worker %s could not claim tasks; trying again", self._name)
                await asyncio.sleep(IDLE_S)
                changed = True
                continue
            changed = others
            if not others and not shards:
                seen, changed = await self._wait(seen)

    async def _release_forgotten(self) -> None:
        """Release leased tasks that nothing here works on, such as a task whose release failed.

        The claiming loop calls this, so that no claim runs concurrently.
        """
        if time.monotonic() < self._forgotten_checked + FORGOTTEN_S:
            return
        held = await self._queue.held(self._name)
        for forgotten in [entry for entry in held if entry.id not in self._holding()]:
            with suppress(LeaseLostError):
                await self._queue.release(forgotten)
        self._forgotten_checked = time.monotonic()

    async def _wait(self, seen: int) -> tuple[int, bool]:
        """Wait for a change, at most `IDLE_S`, or for demand.

        Args:
            seen: the last known value of the change counter.

        Returns:
            The value of the counter, and False if demand ended the wait.
        """
        change = asyncio.create_task(self._changes.wait(seen, IDLE_S))
        demand = asyncio.create_task(self._wake.wait())
        done, pending = await asyncio.wait({change, demand}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in pending:
            waiting.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return (change.result(), True) if change in done else (seen, False)

    def _others_may_be_due(self) -> bool:
        """Return True if a handler has become free, or `IDLE_S` has passed since the last claim."""
        return self._freed or time.monotonic() > self._others_claimed + IDLE_S

    async def _claim_others(self) -> bool:
        """Claim tasks other than shards for the free handlers. Return True if there were any."""
        self._others_claimed, self._freed = time.monotonic(), False
        capacity = [(kinds, most - self._handled(kinds)) for kinds, most in self._groups]
        free = [(kinds, count) for kinds, count in capacity if count]
        if not free or not self._leases.valid:
            return False
        claimed = await self._queue.claim(
            ClaimRequest(
                self._name,
                [kind for kinds, _ in free for kind in kinds],
                ttl_s=self._ttl_s,
                limit=min(count for _, count in free),
                expired_before=self._leases.expired_before,
            )
        )
        for task in claimed:
            self._handling[task.id] = (task, asyncio.create_task(self._handle(task)))
        return bool(claimed)

    def _handled(self, kinds: Collection[TaskKind]) -> int:
        return sum(task.kind in kinds for task, _ in self._handling.values())

    async def _claim_shards(self) -> bool:
        """Claim the shards that there is demand for. Return True if there were any."""
        if self._runner.stalled or not self._leases.valid:
            return False
        demand = self._runner.demand()
        claimed = await self._queue.claim(
            ClaimRequest(
                self._name,
                [TaskKind.RUN],
                ttl_s=self._ttl_s,
                full_models=demand.full_models,
                saturated=demand.saturated,
                max_shards=demand.max_shards,
                limit=demand.limit,
                expired_before=self._leases.expired_before,
            )
        )
        self._runner.claimed(demand, len(claimed))
        self._starting = {task.id: task.epoch for task in claimed}
        for task in claimed:
            await self._guard(task, self._runner.start)
        self._starting.clear()
        return bool(claimed)

    async def _handle(self, task: Task) -> None:
        try:
            await self._guard(task, self._handlers[task.kind])
        finally:
            del self._handling[task.id]
            self._freed = True
            self._wake.set()

    async def _guard(self, task: Task, handler: Handler) -> None:
        """Run a handler. Release the task if that fails."""
        try:
            await handler(task)
        except LeaseLostError:
            log.warning("task %d (%s) was taken over by another worker; it ends here", task.id, task.kind)
        except UnknownModelsError as error:
            log.warning("task %d (%s) waits: %s; next try in %.0f s", task.id, task.kind, error, UNKNOWN_MODELS_DELAY_S)
            await self._release(task, UNKNOWN_MODELS_DELAY_S)
        except Exception:
            delay = min(FAILURE_DELAY_S, 2.0 ** min(task.attempts, 6) / 2)
            log.exception("task %d (%s) failed; next try in %.1f s", task.id, task.kind, delay)
            await self._release(task, delay)

    async def _release(self, task: Task, delay: float) -> None:
        with suppress(LeaseLostError):
            await self._queue.release(task, delay)

    async def _share(self) -> None:
        """Divide the slots among the workers, and measure the rates."""
        while True:
            await asyncio.sleep(SHARE_S)
            try:
                self._runner.share(await self._queue.model_shares())
            except Exception:
                log.exception("dividing the slots among the workers failed; trying again")

    def _holding(self) -> dict[int, int]:
        handled = {task.id: task.epoch for task, _ in self._handling.values()}
        return self._starting | handled | {run.task.id: run.task.epoch for run in self._runner.runs.values()}

    def _follow(self, held: HeldTask) -> None:
        self._runner.follow(held.id, held.batch_status)

    def _lost(self, task_id: int) -> None:
        if entry := self._handling.get(task_id):
            entry[1].cancel()
        if run := self._runner.runs.get(task_id):
            run.abort()

    def _stale(self) -> None:
        self._runner.suspend()
        for _, running in self._handling.values():
            if not running.cancelling():  # once: a second cancellation would interrupt its cleaning up
                running.cancel()
