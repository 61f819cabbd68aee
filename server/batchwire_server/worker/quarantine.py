"""Runs quarantined shards one at a time, line by line, in a process of its own.

A shard is quarantined when it has crashed its workers: one of its lines may be a poison pill. Each
line is marked as the suspect in the queue before it is called, and its result is recorded before
the next line. A line that was the suspect when two such processes crashed is the poison pill: it
gets an error line, and the other lines continue.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from batchwire_server.core.catalog import Catalog
from batchwire_server.core.errors import LeaseLostError, UnknownModelsError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BlobStore, ClaimRequest, HeldTask, TaskQueue, Upstream
from batchwire_server.core.records import Task, TaskKind, Usage
from batchwire_server.core.results import NoReply, NoReplyKind, Reply, read_result
from batchwire_server.core.scheduling.retry import GATEWAY_STATUSES, RetryPolicy, decide
from batchwire_server.worker.leases import Leases
from batchwire_server.worker.result_writer import ResultWriter
from batchwire_server.worker.shard_run import LineCall, ShardRun, load

log = logging.getLogger(__name__)

FAILURE_DELAY_S = 5.0
RELEASE_RETRY_S = 0.5


class QuarantineRunner:
    """A worker for quarantined shards, which ends when there are none.

    Args:
        name: the name of its leases' holder; no two workers share one.
        queue, blobs, catalog: the adapters that it works with.
        policy: how failed calls are retried.
        ttl_s, heartbeat_s: seconds that a lease lasts, and between renewals.
    """

    def __init__(
        self,
        name: str,
        queue: TaskQueue,
        blobs: BlobStore,
        catalog: Catalog,
        *,
        policy: RetryPolicy,
        ttl_s: float,
        heartbeat_s: float,
    ) -> None:
        self._name = name
        self._queue = queue
        self._blobs = blobs
        self._catalog = catalog
        self._policy = policy
        self._ttl_s = ttl_s
        self._writer = ResultWriter(queue, blobs, 0.0, lambda _: None)
        self._run: ShardRun | None = None
        self._working: asyncio.Task[None] | None = None
        self._leases = Leases(
            queue,
            name,
            ttl_s=ttl_s,
            heartbeat_s=heartbeat_s,
            holding=lambda: {self._run.task.id: self._run.task.epoch} if self._run else {},
            on_held=self._follow,
            on_lost=lambda _: self._abort(),
            on_stale=self._abort,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run quarantined shards until none is left to claim, or until `stop` is set."""
        renewing = asyncio.create_task(self._leases.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set() and (task := await self._claim()):
                await self._work(task, stopping)
        finally:
            renewing.cancel()
            stopping.cancel()
            await asyncio.gather(renewing, stopping, return_exceptions=True)

    async def _claim(self) -> Task | None:
        claimed = await self._queue.claim(ClaimRequest(self._name, [TaskKind.RUN], ttl_s=self._ttl_s, quarantined=True))
        return claimed[0] if claimed else None

    async def _work(self, task: Task, stopping: asyncio.Task[bool]) -> None:
        run = None
        try:
            run = self._run = ShardRun(task, await self._queue.batch_of(task), self._writer.note)
            self._writer.add(run)
            self._working = asyncio.create_task(self._run_lines(run))
            await asyncio.wait({self._working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working
            if not run.aborted:
                await self._end(run)
        except LeaseLostError:
            log.warning("task %d was taken over by another worker; its run here ends", task.id)
        except Exception:
            log.exception("the quarantined shard of task %d failed; it will be retried", task.id)
            if run:
                run.abort()
            await self._release(task)
        finally:
            self._run = self._working = None

    async def _release(self, task: Task) -> None:
        """Release a shard, and retry until that succeeds.

        Until then its suspect looks as if it had crashed this process.
        """
        while True:
            try:
                await self._queue.release(task, FAILURE_DELAY_S)
            except LeaseLostError:
                return
            except Exception:
                log.exception("releasing task %d failed; trying again", task.id)
                await asyncio.sleep(RELEASE_RETRY_S)
            else:
                return

    async def _end(self, run: ShardRun) -> None:
        """Record the end of a run. Release its shard if lines are left to another worker."""
        if not run.stopped and run.pending:
            run.hand_over()
        done = run.done
        await self._writer.write()
        if not done:
            await self._queue.release(run.task)

    async def _run_lines(self, run: ShardRun) -> None:
        if run.batch.status is not BatchStatus.IN_PROGRESS:
            run.stop()
            return
        assert run.task.model
        routes = (await self._catalog.read()).routes_of(run.task.model)
        if not routes:
            raise UnknownModelsError(f"no upstream serves model {run.task.model}")
        log.warning(
            "task %d, a shard of batch %s, has crashed %d times; it runs line by line",
            run.task.id,
            run.batch.id,
            run.task.crashes,
        )
        lines = await load(run, self._queue, self._blobs)
        for line in lines:
            if run.task.suspect == -line.number:
                log.error(
                    "line %d of batch %s crashed the processes that ran it; it gets an error line",
                    line.number,
                    run.batch.id,
                )
                self._finish(line, NoReply(NoReplyKind.CRASHED, "the process crashed"), None)
            else:
                # The first such process may have been killed from outside: one more try decides.
                second_try = run.task.suspect == line.number
                upstreams = [route.upstream for route in routes]
                await self._call(line, upstreams, -line.number if second_try else line.number)
            await self._writer.write()

    async def _call(self, line: LineCall, upstreams: list[Upstream], suspect: int) -> None:
        """Call a line until its result is final.

        Args:
            line: what to call.
            upstreams: the upstreams of its model, which take turns.
            suspect: the mark that the next process finds if this one crashes meanwhile: the line's
                number, negative on its second try.
        """
        task = line.run.task
        while True:
            await self._queue.mark_suspect(task, suspect)
            upstream = upstreams[(line.attempts + line.refusals) % len(upstreams)]
            result, usage = read_result(await upstream.call(line.run.endpoint, line.body))
            retry = decide(result, line.attempts, line.refusals, self._policy)
            if retry is None:
                self._finish(line, result, usage)
                return
            await self._queue.mark_suspect(task, None)
            counted = retry.counted and not (isinstance(result, Reply) and result.status in GATEWAY_STATUSES)
            line.attempts += counted
            line.refusals += not counted
            await asyncio.sleep(retry.delay)

    def _finish(self, line: LineCall, result: Reply | NoReply, usage: Usage | None) -> None:
        me = asyncio.current_task()
        assert me is not None
        line.run.start(me, line)
        line.run.finish(me, line, result, usage)

    def _follow(self, held: HeldTask) -> None:
        """Stop a run whose batch has ended or is being cancelled."""
        if held.batch_status is not BatchStatus.IN_PROGRESS and self._run and self._working:
            self._run.stop()
            self._working.cancel()

    def _abort(self) -> None:
        if self._run and self._working:
            self._run.abort()
            self._working.cancel()
