"""Slot utilization, with latency, slow models and rate limits."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence

from batchwire_client import Client

from bench.harness import MODEL, Call, Harness, run_batch, wait_completed
from bench.rows.throughput import HUGE
from bench.table import Measurement, at_least, at_most, row

SLOTS = 256
BUSY_LINES = 20_000
CROSSING_S = 0.05
"""Calls that arrive within this time after a 429 were sent before it was received."""


@row(
    "slot utilization, 256 slots, log-normal latency of mean 200 ms / an ideal schedule",
    at_least(0.97),
    postgresql=at_least(0.97),
)
def slots(harness: Harness) -> Measurement:
    """Compare with an ideal schedule, in which slots are idle only while the last calls end."""
    busy, latencies = _busy(harness, BUSY_LINES)
    ideal = sum(latencies) / SLOTS / _ideal(latencies)
    return Measurement([busy], "", [ideal], f"longest call {max(latencies):.1f} s")


@row("slot utilization, 256 slots, 200,000 lines of the same latencies / 1", at_least(0.97), full=True)
def slots_with_many_lines(harness: Harness) -> Measurement:
    """Compare with full utilization: with so many lines, the idle end is short."""
    busy, latencies = _busy(harness, 10 * BUSY_LINES)
    return Measurement([busy], "", [1.0], f"longest call {max(latencies):.1f} s")


def _busy(harness: Harness, lines: int) -> tuple[float, list[float]]:
    """Run lines. Return the slot utilization and the latencies, in order of arrival."""
    path = harness.lines(lines)
    with (
        harness.mock("--model", f"{MODEL}=lognormal:0.2:1") as mock,
        harness.server(mock.base_url, environment=HUGE) as server,
    ):
        run_batch(server, harness.lines(1))
        seconds = run_batch(server, path)
        calls = sorted(mock.calls()[1:], key=lambda call: call.arrived)
    latencies = [call.answered - call.arrived for call in calls]
    return sum(latencies) / SLOTS / seconds, latencies


def _ideal(latencies: Sequence[float]) -> float:
    """Return the seconds that calls of these latencies take, in order, if no slot ever waits."""
    free = [0.0] * SLOTS
    for latency in latencies:
        heapq.heapreplace(free, free[0] + latency)
    return max(free)


@row("time per line of a fast model beside one at 5 s per call / alone", at_most(1.1))
def fast_beside_slow(harness: Harness) -> Measurement:
    """Run one batch, and measure from create to the end of the fast model's last call."""
    fast = harness.lines(48_000, 0, lambda _: "fast", "-fast")
    mixed = harness.lines(48_161, 0, lambda number: "slow" if number % 300 == 0 else "fast", "-mixed")
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(harness.rounds):
        for path, times in ((fast, alone), (mixed, beside)):
            with (
                harness.mock("--model", "fast=constant:0.005", "--model", "slow=constant:5") as mock,
                harness.server(mock.base_url) as server,
            ):
                run_batch(server, harness.lines(1, 0, lambda _: "fast", "-fast"))
                created = _created(server.grpc, path)
                lasts = [call.answered for call in mock.calls() if call.model == "fast"]
                count = sum(call.model == "fast" for call in mock.calls()) - 1
                times.append((lasts[-1] - created) / count)
    to_ms = [[seconds * 1000 for seconds in times] for times in (beside, alone)]
    return Measurement(to_ms[0], "ms a line", to_ms[1])


def _created(target: str, path: object) -> float:
    """Run a file. Return when its batch was created, by the monotonic clock."""
    with Client(target) as client:
        file = client.files.upload(path)  # type: ignore[arg-type]  # any source of bytes
        created = time.monotonic()
        wait_completed(client, client.batches.create(file.id).id)
    return created


ALLOWED = 1000


@row(
    "goodput with a limit of 1,000 calls/s, 429 and Retry-After 1 s / the limit",
    at_least(0.95),
    postgresql=at_least(0.95),
)
def refusals(harness: Harness) -> Measurement:
    """Compare with the calls that the upstream allows. No call may arrive during a Retry-After."""
    path = harness.lines(25_000)
    with (
        harness.mock("--model", f"{MODEL}=constant:0.02", "--allow", str(ALLOWED)) as mock,
        harness.server(mock.base_url) as server,
    ):
        run_batch(server, harness.lines(1))
        run_batch(server, path)
        calls = mock.calls()[1:]
    taken = [call for call in calls if call.status == 200]
    seconds = max(call.answered for call in taken) - min(call.arrived for call in calls)
    # What it had saved up at the start, it gives on top of its rate.
    allowed = (ALLOWED * seconds + ALLOWED) / seconds
    early = _early(calls)
    note = f"{1 - len(taken) / len(calls):.0%} of the answers were refusals; {early} calls came before their time"
    return Measurement([len(taken) / seconds], "lines/s", [allowed], note, met=not early)


def _early(calls: Sequence[Call]) -> int:
    """Count calls that were sent after a 429 was received and before its Retry-After ended."""
    early, until, since = 0, 0.0, 0.0
    refused = iter(sorted(call.answered for call in calls if call.status == 429))
    following = next(refused, None)
    for arrived in sorted(call.arrived for call in calls):
        while following is not None and following < arrived:
            if following >= until:
                since = following
            until = following + 1
            following = next(refused, None)
        early += since + CROSSING_S < arrived < until
    return early
