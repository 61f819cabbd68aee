"""The calls of one upstream for one model.

A lane has slots: asyncio tasks that take the next line from the model's queue the moment their call
ends. The adaptive limit, the pacing and the circuit breaker decide how many slots are open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from batchwire_server.core.ports import Upstream
from batchwire_server.core.results import NoReply, NoReplyKind, Reply, read_result
from batchwire_server.core.scheduling.adaptive import AdaptiveLimit
from batchwire_server.core.scheduling.breaker import CircuitBreaker
from batchwire_server.core.scheduling.line_states import LineState
from batchwire_server.core.scheduling.pacing import Pacing
from batchwire_server.core.scheduling.retry import RetryPolicy, decide
from batchwire_server.worker.shard_run import LineCall

log = logging.getLogger(__name__)

FIRST_LIMIT = 32


class LineQueue(Protocol):
    """The queue of a model, as its lanes use it.

    Attributes:
        policy: how failed calls are retried.
        finished: number of lines that have a final result.
    """

    policy: RetryPolicy
    finished: int

    @property
    def ready(self) -> int:
        """The lines that wait for a slot."""

    @property
    def has_alternatives(self) -> bool:
        """Whether more than one lane takes its lines."""

    def pop(self) -> LineCall | None:
        """Remove and return the next line, or return None if none may be called now."""

    def put_back(self, line: LineCall) -> None:
        """Add a line at the front of its tenant's lines."""

    def delay(self, line: LineCall, seconds: float) -> None:
        """Put a line back after a delay."""

    def pump(self) -> None:
        """Let every lane open the slots that it may."""


class Lane:
    """One upstream's slots for one model.

    Args:
        upstream: what the lane calls.
        queue: where it takes lines from.
        cap: the most calls in flight.
        pacing: calls and tokens per minute; None for no bound.

    Attributes:
        in_flight: number of open slots.
        limit: how many calls may be in flight.
        breaker: whether the upstream may be called at all.
    """

    def __init__(self, upstream: Upstream, queue: LineQueue, cap: int, pacing: Pacing | None = None) -> None:
        self.in_flight = 0
        self.limit = AdaptiveLimit(FIRST_LIMIT, cap)
        self.breaker = CircuitBreaker(queue.policy.base_s, queue.policy.cap_s)
        self._upstream = upstream
        self._queue = queue
        self._pacing = pacing
        self._pacing_timer: asyncio.TimerHandle | None = None
        self._paused_until = 0.0
        self._slots: set[asyncio.Task[None]] = set()
        self._closed = False

    def pump(self) -> None:
        """Open slots for the lines that wait, up to the limit."""
        now = time.monotonic()
        room = min(self._allowed - self.in_flight, self._queue.ready)
        if room <= 0 or self._closed or now < self._paused_until or self._must_wait(now):
            return
        for _ in range(self._pacing.room(room, now) if self._pacing else room):
            self.in_flight += 1
            slot = asyncio.create_task(self._slot())
            self._slots.add(slot)
            slot.add_done_callback(self._slots.discard)

    def share(self, cap: int, workers: int) -> None:
        """Use one of `workers` equal parts of the upstream's capacity from now on."""
        self.limit.cap = max(1, cap // workers)
        if self._pacing:
            self._pacing.share(workers, time.monotonic())

    async def close(self) -> None:
        """Cancel all calls."""
        self._closed = True
        if self._pacing_timer:
            self._pacing_timer.cancel()
        slots = list(self._slots)
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self) -> None:
        """Call one line after the other, until none waits or the lane must not call."""
        me = asyncio.current_task()
        assert me is not None
        queue, call = self._queue, self._upstream.call
        try:
            while self._may_continue() and (line := queue.pop()) is not None:
                run, era = line.run, self.limit.era
                run.start(me, line)
                expected = self._pacing.start(len(line.body), time.monotonic()) if self._pacing else 0.0
                try:
                    result = await call(run.endpoint, line.body)
                except asyncio.CancelledError:
                    run.requeue(me, line)
                    if run.stopped:
                        run.discard(line)
                    else:
                        queue.put_back(line)
                    if not run.was_cancelled(me):  # the slot itself is being cancelled
                        raise
                    me.uncancel()
                    continue
                except Exception as error:  # a defect of the adapter must not cost a slot
                    log.exception("call to upstream %s raised; the line is retried", self._upstream.name)
                    result = NoReply(NoReplyKind.BROKEN, str(error))
                try:
                    self._apply(me, line, result, era, expected)
                except Exception:
                    log.exception(
                        "the answer of upstream %s to line %d of batch %s could not be processed",
                        self._upstream.name,
                        line.number,
                        run.batch.id,
                    )
                    # A line without a result would keep its shard from ending, and one with two
                    # results would be in the output twice.
                    if line.state is LineState.IN_FLIGHT:
                        run.finish(me, line, NoReply(NoReplyKind.BROKEN, "the answer could not be processed"), None)
        finally:
            self.in_flight -= 1
            queue.pump()

    @property
    def _allowed(self) -> int:
        """The most calls in flight: one while the circuit breaker probes the upstream."""
        return 1 if self.breaker.tripped else self.limit.value

    def _may_continue(self) -> bool:
        now = time.monotonic()
        if self._closed or self.in_flight > self._allowed or now < self._paused_until:
            return False
        return not self._must_wait(now)

    def _must_wait(self, now: float) -> bool:
        """Return True if pacing allows no call now. A timer then opens slots again."""
        wait = self._pacing.wait(now) if self._pacing else 0.0
        if wait and self._pacing_timer is None:
            self._pacing_timer = asyncio.get_running_loop().call_later(wait, self._pacing_over)
        return wait > 0

    def _pacing_over(self) -> None:
        self._pacing_timer = None
        self._queue.pump()

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Open slots after a pause, unless it was extended or the timer fired a little early."""
        left = self._paused_until - time.monotonic()
        if left > 0 and not self._closed:
            asyncio.get_running_loop().call_later(left, self._resume)
        else:
            self._queue.pump()

    def _apply(
        self, call: asyncio.Task[None], line: LineCall, result: Reply | NoReply, era: int, expected: float
    ) -> None:
        """Finish a line, delay it for a retry, or requeue it because the upstream is down.

        Args:
            call: the slot that made the call.
            line: what was called.
            result: what the upstream answered.
            era: the limit's era when the call began.
            expected: the tokens that pacing reserved for the call.
        """
        result, usage = read_result(result)
        if self._pacing:
            self._pacing.end(expected, usage.total_tokens if usage else 0, time.monotonic())
        if isinstance(result, Reply) and result.status < 500:
            if self.breaker.succeeded():
                log.warning("upstream %s answers again", self._upstream.name)
        elif self.breaker.failed(result, alternatives=self._queue.has_alternatives):
            self._trip_breaker()
            line.run.requeue(call, line)
            self._queue.put_back(line)
            return
        retry = decide(result, line.attempts, line.refusals, self._queue.policy)
        if retry is None:
            if isinstance(result, Reply) and self.limit.succeeded(self.in_flight):
                self._queue.pump()  # use the larger limit at once
            self._queue.finished += 1
            line.run.finish(call, line, result, usage)
            return
        if retry.pushback:
            self.limit.pushed_back(era)
        if retry.pause:
            self._pause(retry.pause)
        line.attempts += retry.counted
        line.refusals += not retry.counted
        line.run.delay(call, line)
        self._queue.delay(line, retry.delay)

    def _trip_breaker(self) -> None:
        now = time.monotonic()
        if now < self._paused_until:  # one outage fails many calls; the first has tripped it
            return
        if not self.breaker.tripped:
            log.warning("upstream %s is down; requests are queued", self._upstream.name)
        self._pause(self.breaker.trip(now))
