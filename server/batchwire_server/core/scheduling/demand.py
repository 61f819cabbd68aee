"""How many lines of a model a worker claims ahead of its slots.

A worker keeps a backlog so that no slot waits for a claim: a line per slot, and up to `BACKLOG_S`
of work. A claim refills it once it has fallen below its low-water mark, which is a line per slot
and half of that work. A small backlog lets workers end together, and a tenant who comes late need
not wait. The caller passes the times: seconds of any monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKLOG_S = 0.3
"""Work to claim ahead, in seconds at the measured rate of finished lines."""

BACKLOG_BYTES = 4 * 1024 * 1024
"""The most to claim ahead, in bytes of request bodies."""

TENANTS_AT_ONCE = 16
"""Up to this number of tenants, each gets a shard of a model, however many lines of others wait."""

FIRST_SHARD_LINES = 512
"""Assumed lines per shard until the first shard has come."""

MEASURE_S = 0.1
"""The shortest time over which the rate of finished lines is measured."""


@dataclass(frozen=True, slots=True)
class ShardDemand:
    """The shards that a worker would claim now.

    Attributes:
        full_models: models of which it claims nothing.
        saturated: pairs of a model without demand and a tenant whose lines already wait there.
        max_shards: shards to claim per model, at least one each.
        limit: shards to claim in all.
    """

    full_models: list[str]
    saturated: list[tuple[str, str]]
    max_shards: dict[str, int]
    limit: int


class Demand:
    """The demand for lines of one model.

    Methods take `slots`, the calls that all lanes of the model may make at once, and `backlog`, the
    lines that wait for a slot or for another try.

    Args:
        now: the time at which the first measurement begins.
    """

    def __init__(self, now: float) -> None:
        self._rate = 0.0
        self._line_bytes = 1.0
        self._shard_lines = FIRST_SHARD_LINES
        self._measured = (now, 0)

    def shard_added(self, lines: int, size_bytes: int) -> None:
        """Record the lines and the bytes of a shard; the next ones are assumed to be alike."""
        self._shard_lines = lines
        self._line_bytes = size_bytes / lines

    def measure(self, finished: int, now: float) -> None:
        """Measure the rate since the last measurement, from the lines `finished` up to now."""
        then, before = self._measured
        if now > then:
            self._rate = (finished - before) / (now - then)
            self._measured = (now, finished)

    def measure_if_due(self, finished: int, now: float) -> None:
        """Measure the rate unless the last measurement is too recent to compare with."""
        if now > self._measured[0] + MEASURE_S:
            self.measure(finished, now)

    def low_water(self, slots: int) -> int:
        """Return the backlog below which there is demand."""
        return slots + self._half_backlog

    def lines(self, slots: int, backlog: int) -> int:
        """Return how many lines to claim: enough to refill the backlog, or 0."""
        low = self.low_water(slots)
        return low + self._half_backlog - backlog if backlog < low else 0

    def shards(self, slots: int, backlog: int) -> int:
        """Return how many shards hold that many lines, if they are as long as the last."""
        return -(-self.lines(slots, backlog) // self._shard_lines)

    def full(self, slots: int, backlog: int, *, ready: int, tenants: int) -> bool:
        """Return True if there is no demand, not even for a tenant who has no line here.

        Args:
            slots: calls that all lanes of the model may make at once.
            backlog: lines that wait for a slot or for another try.
            ready: the lines of the backlog that could run at once.
            tenants: the number of tenants that these belong to.
        """
        return not self.lines(slots, backlog) and (not ready or tenants >= TENANTS_AT_ONCE)

    @property
    def _half_backlog(self) -> int:
        return int(min(self._rate * BACKLOG_S, BACKLOG_BYTES / self._line_bytes) / 2)
