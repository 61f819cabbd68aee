"""The lines of one model that wait, and the lanes that call them.

Each upstream that serves the model has a lane, which takes lines from the model's queue. A line
that is retried waits outside the slots. Models never wait for each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from batchwire_server.core.scheduling.demand import Demand
from batchwire_server.core.scheduling.order import DelayHeap, FairQueue
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.worker.lane import Lane
from batchwire_server.worker.shard_run import LineCall


class ModelQueue:
    """The queue of one model, and its lanes.

    Args:
        policy: how failed calls are retried.
        may_call: returns whether calls may start: not while the worker's leases may expire, nor
            while results cannot be written.
        on_demand: called when the backlog has fallen below its low-water mark.

    Attributes:
        finished: number of lines that have a final result.
        queue_empty: True if the last claim returned no shard. A small backlog then triggers no
            further claim.
    """

    def __init__(self, policy: RetryPolicy, may_call: Callable[[], bool], on_demand: Callable[[], None]) -> None:
        self.policy = policy
        self.lanes: list[Lane] = []
        self.finished = 0
        self.queue_empty = False
        self._may_call = may_call
        self._on_demand = on_demand
        self._fair: FairQueue[LineCall] = FairQueue()
        self._delayed: DelayHeap[LineCall] = DelayHeap()
        self._timer: asyncio.TimerHandle | None = None
        self._demand = Demand(time.monotonic())
        self._low_water = 0

    def push(self, lines: Sequence[LineCall]) -> None:
        """Add the lines of one run at the end of its tenant's lines."""
        if lines:
            self._fair.extend(lines[0].run.batch.tenant, lines)
            self._demand.shard_added(len(lines), sum(len(line.body) for line in lines))
        self._demand.measure_if_due(self.finished, time.monotonic())
        self.pump()

    def put_back(self, line: LineCall) -> None:
        """Add a line at the front of its tenant's lines."""
        self._fair.push_front(line.run.batch.tenant, line)

    def delay(self, line: LineCall, seconds: float) -> None:
        """Put a line back after a delay."""
        self._delayed.push(line, time.monotonic() + seconds)
        self._set_timer()

    def pop(self) -> LineCall | None:
        """Remove and return the next line, or return None if none may be called now.

        Lines whose run has stopped are discarded.
        """
        while self._may_call() and (line := self._fair.pop()) is not None:
            if line.run.stopped:
                line.run.discard(line)
                continue
            # `_low_water` may be out of date: the limit may have shrunk since the last pump.
            if self._fair.size + len(self._delayed) < self._low_water and not self.queue_empty and self.demand:
                self._on_demand()
            return line
        return None

    def pump(self) -> None:
        """Let every lane open the slots that it may."""
        self._low_water = self._demand.low_water(self._limit)
        if not self._may_call():
            return
        for lane in sorted(self.lanes, key=lambda lane: lane.breaker.tripped):
            lane.pump()

    def measure(self) -> None:
        """Measure the rate of finished lines since the last measurement."""
        self._demand.measure(self.finished, time.monotonic())

    async def close(self) -> None:
        """Cancel all calls."""
        if self._timer:
            self._timer.cancel()
        for lane in self.lanes:
            await lane.close()

    @property
    def has_alternatives(self) -> bool:
        """Whether more than one upstream serves the model."""
        return len(self.lanes) > 1

    @property
    def ready(self) -> int:
        """The lines that wait for a slot."""
        return self._fair.size

    @property
    def backlog(self) -> int:
        """The lines that wait for a slot or for their retry."""
        return self._fair.size + len(self._delayed)

    @property
    def tenants(self) -> Collection[str]:
        """The tenants whose lines wait for a slot."""
        return self._fair.tenants

    @property
    def demand(self) -> int:
        """How many more lines to claim so that no slot runs dry before the next claim, or 0."""
        return self._demand.lines(self._limit, self.backlog)

    @property
    def shard_demand(self) -> int:
        """How many shards hold that many lines, if they are as long as the last."""
        return self._demand.shards(self._limit, self.backlog)

    @property
    def full(self) -> bool:
        """Whether there is no demand, not even for a tenant who has no line here."""
        return self._demand.full(self._limit, self.backlog, ready=self.ready, tenants=len(self.tenants))

    @property
    def _limit(self) -> int:
        return sum(lane.limit.value for lane in self.lanes)

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if (due := self._delayed.next_due) is not None:
            delay = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        for line in self._delayed.pop_due(time.monotonic()):
            if line.run.stopped:
                line.run.discard(line)
            else:
                line.run.wake(line)
                self.put_back(line)
        self._set_timer()
        self.pump()
