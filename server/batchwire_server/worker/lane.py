"""Lanes: which line is called next, where, and how many at a time.

Lines of one model wait in one queue. Each upstream that serves the model takes from it through a lane of its own, which has slots; a slot takes
the next line the moment its call ends. A line that must be called again waits outside the slots. Models never wait for each other.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from batchwire_server.core.ports import Upstream
from batchwire_server.core.results import NoReply, NoReplyKind, Reply, judged
from batchwire_server.core.scheduling.adaptive import AdaptiveLimit
from batchwire_server.core.scheduling.pacing import Pacing
from batchwire_server.core.scheduling.retry import GATEWAY_STATUSES, RetryPolicy, decide
from batchwire_server.worker.shard_run import LineCall

log = logging.getLogger(__name__)

FIRST_LIMIT = 32
FAILURES_IN_A_ROW = 16
"""After so many without a success, an upstream counts as gone."""

DIAL_CAP_S = 5.0
"""How long an upstream that cannot be reached is left alone at most."""

AHEAD_S = 0.3
"""How much work, by the time it takes, is claimed ahead of the slots, once there is less than half of that."""

AHEAD_BYTES = 4 * 1024 * 1024
"""How much at most, by the bytes of the lines."""

TENANTS_AT_ONCE = 16
"""Up to so many tenants take turns at a model: each has a shard claimed for it, however many lines of others wait."""

FIRST_SHARD_LINES = 512
"""How many lines a shard is thought to have before there was one."""

MEASURE_S = 0.1
"""How long the rate of finished lines is measured at least."""


class Lane:
    """One upstream's slots for one model."""

    def __init__(self, upstream: Upstream, queue: ModelQueue, cap: int, pacing: Pacing | None = None) -> None:
        self._pacing = pacing
        self._pacer: asyncio.TimerHandle | None = None
        self._upstream = upstream
        self._queue = queue
        self._paused_until = 0.0
        self._slots: set[asyncio.Task[None]] = set()
        self._closed = False
        self._failed_dials = 0
        self._failures = 0
        self.in_flight = 0
        self.limit = AdaptiveLimit(FIRST_LIMIT, cap)

    @property
    def upstream(self) -> Upstream:
        """The upstream."""
        return self._upstream

    def pump(self) -> None:
        """Opens slots for as many lines as wait, up to the limit."""
        now = time.monotonic()
        room = min(self._allowed - self.in_flight, self._queue.ready)
        if room <= 0 or self._closed or now < self._paused_until or self._must_wait(now):
            return
        for _ in range(self._pacing.room(room, now) if self._pacing else room):
            self.in_flight += 1
            slot = asyncio.create_task(self._slot())
            self._slots.add(slot)
            slot.add_done_callback(self._slots.discard)

    async def _slot(self) -> None:
        """Takes lines and calls, until none waits or the limit has shrunk."""
        me = asyncio.current_task()
        assert me is not None
        queue, call = self._queue, self._upstream.call
        try:
            while self._may_go_on() and (job := queue.pop()) is not None:
                run, era = job.run, self.limit.era
                run.take_off(me)
                expected = self._pacing.start(len(job.body), time.monotonic()) if self._pacing else 0.0
                try:
                    result = await call(run.endpoint, job.body)
                except asyncio.CancelledError:
                    run.drop(me)
                    if not run.stopped:
                        queue.put_back(job)  # for when calls may be made again, or for nobody
                    if not run.was_cut_off(me):  # it was the slot that was
                        raise
                    me.uncancel()
                    continue
                except Exception as error:  # a fault of ours must not cost a slot
                    log.exception("the call to %s failed", self._upstream.name)
                    result = NoReply(NoReplyKind.BROKEN, str(error))
                try:
                    self._judge(me, job, result, era, expected)
                except Exception:  # nor a line, without which its shard would never end
                    log.exception("the answer of %s could not be taken", self._upstream.name)
                    run.land(me, job, NoReply(NoReplyKind.BROKEN, "the answer could not be taken"), None)
        finally:
            self.in_flight -= 1
            queue.pump()

    @property
    def _allowed(self) -> int:
        """How many calls may be in flight: one, to find out, while the upstream cannot be reached."""
        return 1 if self._failed_dials else self.limit.value

    def _may_go_on(self) -> bool:
        now = time.monotonic()
        if self._closed or self.in_flight > self._allowed or now < self._paused_until:
            return False
        return not self._must_wait(now)

    def _must_wait(self, now: float) -> bool:
        """Tells whether pacing has no call to spare just now; the lane goes on by itself when it has."""
        wait = self._pacing.wait(now) if self._pacing else 0.0
        if wait and self._pacer is None:
            self._pacer = asyncio.get_running_loop().call_later(wait, self._paced)
        return wait > 0

    def _paced(self) -> None:
        self._pacer = None
        self._queue.pump()

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Goes on after a pause, unless it has been made longer, or the timer came a little early."""
        left = self._paused_until - time.monotonic()
        if left > 0 and not self._closed:
            asyncio.get_running_loop().call_later(left, self._resume)
        else:
            self._queue.pump()

    def share(self, cap: int, workers: int) -> None:
        """Takes one of `workers` equal parts of what the upstream takes from now on."""
        self.limit.cap = max(1, cap // workers)
        if self._pacing:
            self._pacing.share(workers, time.monotonic())

    def _judge(
        self, call: asyncio.Task[None], job: LineCall, result: Reply | NoReply, era: int, expected: float
    ) -> None:
        """Makes a result final, or has its line called again. `expected` is what pacing has counted the call with."""
        result, usage = judged(result)
        if self._pacing:
            self._pacing.end(expected, usage.total_tokens if usage else 0, time.monotonic())
        if self._is_out(result):
            self._sit_out(call, job)
            return
        again = decide(result, job.attempts, job.refusals, self._queue.policy)
        if again is None:
            if isinstance(result, Reply) and self.limit.succeeded(self.in_flight):
                self._queue.pump()  # what the limit has grown by is used at once
            self._queue.finished += 1
            job.run.land(call, job, result, usage)
            return
        if again.pushback:
            self.limit.pushed_back(era)
        if again.pause:
            self._pause(again.pause)
        job.attempts += again.counted
        job.refusals += not again.counted
        job.run.retry(call)
        self._queue.delay(job, again.delay)

    def _is_out(self, result: Reply | NoReply) -> bool:
        """Tells whether a result speaks of the upstream and not of the line, and counts failures in a row."""
        if isinstance(result, Reply) and result.status < 500:
            if self._failed_dials:
                log.warning("the upstream %s answers again", self._upstream.name)
            self._failures = self._failed_dials = 0
            return False
        self._failures += 1
        out = self._seems_gone(result)
        if not out:
            self._failed_dials = 0
        return out

    def _seems_gone(self, result: Reply | NoReply) -> bool:
        """Judges a failure.

        No connection means that the upstream is gone. So does one more of many failures in a row: such as a proxy gives whose backend is
        gone, or any at all where another upstream serves the model too. One that says when to come back is there.
        """
        if isinstance(result, NoReply):
            if result.kind is NoReplyKind.UNREACHABLE:
                return True
            telling = result.kind is NoReplyKind.BROKEN
        elif result.retry_after is not None:
            return False
        else:
            telling = result.status in GATEWAY_STATUSES
        return self._failures > FAILURES_IN_A_ROW and (telling or len(self._queue.lanes) > 1)

    @property
    def sits_out(self) -> bool:
        """Whether the upstream seems to be gone."""
        return self._failed_dials > 0

    def _sit_out(self, call: asyncio.Task[None], job: LineCall) -> None:
        """Lets an upstream that is gone alone for a while; the line has not had its attempt, and any lane may have it at once."""
        if time.monotonic() >= self._paused_until:  # of the calls that one outage failed, the first speaks for all
            policy = self._queue.policy
            self._pause(min(DIAL_CAP_S, policy.cap, policy.base * 2**self._failed_dials))
            if not self._failed_dials:
                log.warning("the upstream %s seems to be gone; its lines wait", self._upstream.name)
            self._failed_dials = min(self._failed_dials + 1, 16)
        job.run.retry(call)
        self._queue.put_back(job)

    async def close(self) -> None:
        """Cuts off all calls."""
        self._closed = True
        if self._pacer:
            self._pacer.cancel()
        slots = list(self._slots)
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)


class ModelQueue:
    """The lines of one model that wait, and the lanes that take them.

    Tenants take turns; the lines of one tenant go in the order in which they came.

    Args:
        policy: how failed calls are made again.
        may_call: whether calls may be made: not while leases cannot be relied on, nor while results cannot be made durable.
        on_hunger: called when there is room for another shard.

    Attributes:
        exhausted: whether the last claim has found no shard, so that hunger is no news.
    """

    def __init__(self, policy: RetryPolicy, may_call: Callable[[], bool], on_hunger: Callable[[], None]) -> None:
        self.policy = policy
        self.lanes: list[Lane] = []
        self.finished = 0
        self.ready = 0
        self.exhausted = False
        self._low = 0
        self.may_call = may_call
        self._on_hunger = on_hunger
        self._tenants: dict[str, deque[LineCall]] = {}
        self._turns: deque[str] = deque()
        self._delayed: list[tuple[float, int, LineCall]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._rate = 0.0
        self._line_bytes = 1.0
        self._shard_lines = FIRST_SHARD_LINES
        self._measured = (time.monotonic(), 0)

    def push(self, jobs: Iterable[LineCall]) -> None:
        """Adds lines at the end."""
        before, size = self.ready, 0
        for job in jobs:
            self._tenant(job).append(job)
            self.ready += 1
            size += len(job.body)
        if size:
            self._shard_lines = self.ready - before
            self._line_bytes = size / self._shard_lines
        if time.monotonic() > self._measured[0] + MEASURE_S:
            self.measure()
        self.pump()

    def put_back(self, job: LineCall) -> None:
        """Adds a line at the front."""
        self._tenant(job).appendleft(job)
        self.ready += 1

    def delay(self, job: LineCall, seconds: float) -> None:
        """Adds a line that comes to the front after some seconds."""
        heapq.heappush(self._delayed, (time.monotonic() + seconds, next(self._order), job))
        self._set_timer()

    def pop(self) -> LineCall | None:
        """Takes the next line whose run is still fed."""
        while self._turns and self.may_call():
            tenant = self._turns[0]
            waiting = self._tenants[tenant]
            job = waiting.popleft()
            self.ready -= 1
            self._turns.rotate(-1)
            if not waiting:
                self._turns.remove(tenant)
                del self._tenants[tenant]
            if job.run.stopped:
                continue
            # The limit may have shrunk since, so that no more is wanted after all.
            if self.ready + len(self._delayed) < self._low and not self.exhausted and self.wanted:
                self._on_hunger()
            return job
        return None

    def pump(self) -> None:
        """Lets every lane open the slots that it may."""
        self._low = self._lowest()
        if not self.may_call():
            return
        for lane in sorted(self.lanes, key=lambda lane: lane.sits_out):
            lane.pump()

    @property
    def wanted(self) -> int:
        """How many more lines are wanted so that no slot runs dry before the next claim: many at once, or none."""
        waiting, low = self.ready + len(self._delayed), self._lowest()
        return low + self._half_ahead() - waiting if waiting < low else 0

    @property
    def wanted_shards(self) -> int:
        """How many shards have as many lines, if they are like the last."""
        return -(-self.wanted // self._shard_lines)

    @property
    def crowded(self) -> bool:
        """Whether there is no room even for a tenant who has no line here."""
        return not self.wanted and (not self.ready or len(self._turns) >= TENANTS_AT_ONCE)

    @property
    def tenants(self) -> Iterable[str]:
        """Those whose lines wait to be called."""
        return self._turns

    def _lowest(self) -> int:
        """How many lines must wait, so that claiming more can wait too."""
        return sum(lane.limit.value for lane in self.lanes) + self._half_ahead()

    def _half_ahead(self) -> int:
        return int(min(self._rate * AHEAD_S, AHEAD_BYTES / self._line_bytes) / 2)

    def measure(self) -> None:
        """Takes the rate of finished lines since the last measurement."""
        now, (then, before) = time.monotonic(), self._measured
        if now > then:
            self._rate = (self.finished - before) / (now - then)
            self._measured = (now, self.finished)

    def _tenant(self, job: LineCall) -> deque[LineCall]:
        tenant = job.run.batch.tenant
        if tenant not in self._tenants:
            self._tenants[tenant] = deque()
            self._turns.append(tenant)
        return self._tenants[tenant]

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            delay = max(0.0, self._delayed[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            job = heapq.heappop(self._delayed)[2]
            if not job.run.stopped:
                self.put_back(job)
        self._set_timer()
        self.pump()

    async def close(self) -> None:
        """Cuts off all calls."""
        if self._timer:
            self._timer.cancel()
        for lane in self.lanes:
            await lane.close()
