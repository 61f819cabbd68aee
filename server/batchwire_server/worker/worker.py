"""A worker: claims what is due, hands it to its handler, and keeps its leases."""

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
"""Apart from the other handlers: receivers of webhooks may be slow, and must not hold up batches."""

IDLE_S = 1.0
LOOK_S = 5.0
SHARE_S = 1.0
UNKNOWN_MODELS_DELAY_S = 5.0
FAILURE_DELAY_S = 60.0

Handler = Callable[[Task], Awaitable[None]]


class Worker:
    """Does the work of the queue.

    Args:
        name: the holder of its leases; no two workers share one.
        queue: the work.
        changes: says when there may be more of it.
        handlers: what to do with each kind but `run`.
        make_runner: makes the handler of `run`, given whether leases hold and what to call when there is room.
        ttl, beat: seconds that a lease lasts, and between renewals.
    """

    def __init__(
        self,
        name: str,
        queue: TaskQueue,
        changes: ChangeFeed,
        handlers: Mapping[TaskKind, Handler],
        make_runner: Callable[[Callable[[], bool], Callable[[], None]], Runner],
        *,
        ttl: float,
        beat: float,
    ) -> None:
        self._name = name
        self._queue = queue
        self._changes = changes
        self._handlers = handlers
        at_once = {kind: DELIVERIES_AT_ONCE if kind is TaskKind.DELIVER else HANDLERS_AT_ONCE for kind in handlers}
        self._groups = [
            ([kind for kind in handlers if at_once[kind] == most], most) for most in sorted(set(at_once.values()))
        ]
        self._asked = time.monotonic()
        self._freed = False  # whether a handler has ended since others were asked for
        self._ttl = ttl
        self._wake = asyncio.Event()
        self._handling: dict[int, tuple[Task, asyncio.Task[None]]] = {}
        self._starting: dict[int, int] = {}
        self._runner = make_runner(lambda: self._leases.hold, self._wake.set)
        self._looked = time.monotonic()
        self._leases = Leases(
            queue,
            name,
            ttl=ttl,
            beat=beat,
            holding=self._holding,
            on_held=self._held,
            on_lost=self._lost,
            on_stale=self._stale,
        )

    async def run(self, stop: asyncio.Event, grace: float) -> None:
        """Works until `stop` is set; then hands over what it holds within about `grace` seconds."""
        # What this name held before, it has forgotten.
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
            await self._drain(grace)
        finally:
            for task in (claiming, *background):
                task.cancel()
            await asyncio.gather(claiming, *background, return_exceptions=True)
        await self._release_all(time.monotonic() + grace)

    async def _release_all(self, end: float) -> None:
        """Gives back all that this worker holds, trying again until `end` has passed."""
        while True:
            try:
                await self._queue.release_worker(self._name, crashed=False)
            except Exception:
                if time.monotonic() > end:
                    raise
                log.warning("what is held could not be given back; trying again", exc_info=True)
                await asyncio.sleep(IDLE_S / 4)
            else:
                return

    async def _drain(self, grace: float) -> None:
        handling = [running for _, running in self._handling.values()]
        if handling:
            await asyncio.wait(handling, timeout=grace)
        for running in handling:
            running.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await self._runner.hand_over(grace)

    async def _claim_forever(self) -> None:
        seen, news = 0, True
        while True:
            self._wake.clear()
            try:
                await self._release_forgotten()
                # Most often it is only for shards that there is room.
                others = await self._claim_others() if news or self._others_may_be_due() else False
                shards = await self._claim_shards()
            except Exception:
                log.exception("no work could be claimed; trying again")
                await asyncio.sleep(IDLE_S)
                news = True
                continue
            news = others
            if not others and not shards:
                seen, news = await self._wait(seen)

    async def _release_forgotten(self) -> None:
        """Gives back what this name holds and nothing here works on, such as a task whose giving back had failed.

        Claims are made one after the other by the loop that calls this, so that none is under way now.
        """
        if time.monotonic() < self._looked + LOOK_S:
            return
        held = await self._queue.held(self._name)
        for forgotten in [entry for entry in held if entry.id not in self._holding()]:
            with suppress(LeaseLostError):
                await self._queue.release(forgotten)
        self._looked = time.monotonic()

    async def _wait(self, seen: int) -> tuple[int, bool]:
        """Waits for a change, or for room; returns the change counter, and whether it was a change, or none for long."""
        change = asyncio.create_task(self._changes.wait(seen, IDLE_S))
        room = asyncio.create_task(self._wake.wait())
        done, pending = await asyncio.wait({change, room}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in pending:
            waiting.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return (change.result(), True) if change in done else (seen, False)

    def _others_may_be_due(self) -> bool:
        """Tells whether what is no shard should be asked for even without news: there is room for it again, or it has not been for long."""
        return self._freed or time.monotonic() > self._asked + IDLE_S

    async def _claim_others(self) -> bool:
        """Claims what is no shard, as far as there is room; tells whether there was anything."""
        self._asked, self._freed = time.monotonic(), False
        rooms = [(kinds, most - self._handled(kinds)) for kinds, most in self._groups]
        free = [(kinds, room) for kinds, room in rooms if room]
        if not free or not self._leases.hold:
            return False
        claimed = await self._queue.claim(
            ClaimRequest(
                self._name,
                [kind for kinds, _ in free for kind in kinds],
                ttl_s=self._ttl,
                limit=min(room for _, room in free),
                expired_before=self._leases.expired_before,
            )
        )
        for task in claimed:
            self._handling[task.id] = (task, asyncio.create_task(self._handle(task)))
        return bool(claimed)

    def _handled(self, kinds: Collection[TaskKind]) -> int:
        return sum(task.kind in kinds for task, _ in self._handling.values())

    async def _claim_shards(self) -> bool:
        """Claims shards, as far as they are wanted; tells whether there were any."""
        if self._runner.stalled or not self._leases.hold:
            return False
        demand = self._runner.demand()
        claimed = await self._queue.claim(
            ClaimRequest(
                self._name,
                [TaskKind.RUN],
                ttl_s=self._ttl,
                full_models=demand.full_models,
                saturated=demand.saturated,
                max_shards=demand.max_shards,
                limit=demand.limit,
                expired_before=self._leases.expired_before,
            )
        )
        self._runner.learn(demand, len(claimed))
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
        """Runs a handler; gives the task back when it fails."""
        try:
            await handler(task)
        except LeaseLostError:
            log.warning("task %d (%s) has another owner now", task.id, task.kind)
        except UnknownModelsError as error:
            log.warning("task %d (%s) waits: %s", task.id, task.kind, error)
            await self._give_back(task, UNKNOWN_MODELS_DELAY_S)
        except Exception:
            log.exception("task %d (%s) failed; it will be tried again", task.id, task.kind)
            await self._give_back(task, min(FAILURE_DELAY_S, 2.0 ** min(task.attempts, 6) / 2))

    async def _give_back(self, task: Task, delay: float) -> None:
        with suppress(LeaseLostError):
            await self._queue.release(task, delay)

    async def _share(self) -> None:
        """Divides slots among workers, and measures rates."""
        while True:
            await asyncio.sleep(SHARE_S)
            try:
                self._runner.share(await self._queue.model_shares())
            except Exception:
                log.exception("the slots could not be divided; trying again")

    def _holding(self) -> dict[int, int]:
        handled = {task.id: task.epoch for task, _ in self._handling.values()}
        return self._starting | handled | {run.task.id: run.task.epoch for run in self._runner.runs.values()}

    def _held(self, held: HeldTask) -> None:
        self._runner.follow(held.id, held.batch_status)

    def _lost(self, task_id: int) -> None:
        if entry := self._handling.get(task_id):
            entry[1].cancel()
        if run := self._runner.runs.get(task_id):
            run.abort()

    def _stale(self) -> None:
        self._runner.suspend()
        for _, running in self._handling.values():
            if not running.cancelling():  # once: what it still has to clean up must not be cut off too
                running.cancel()
