"""How well slots are used, whatever upstreams do."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence

from batchwire_client import Client

from bench.rows.throughput import HUGE
from bench.scene import MODEL, Call, Scene, ended, run_batch
from bench.table import Measured, at_least, at_most, row

SLOTS = 256
BUSY_LINES = 20_000
CROSSING_S = 0.05
"""Within so long after a refusal has been sent, calls that were on their way come in."""


@row(
    "256 slots, log-normal latency of mean 200 ms: how busy / if slots lost no moment",
    at_least(0.97),
    postgresql=at_least(0.97),
)
def slots(scene: Scene) -> Measured:
    """Slots that lose no moment stand idle too, while the last and longest calls end."""
    busy, latencies = _busy(scene, BUSY_LINES)
    ideal = sum(latencies) / SLOTS / _ideal(latencies)
    return Measured([busy], "", [ideal], f"the longest call took {max(latencies):.1f} s")


@row("256 slots, 200,000 lines of the same latencies: how busy / always", at_least(0.97), full=True)
def slots_for_long(scene: Scene) -> Measured:
    """With so many lines, the end is a small part of the whole."""
    busy, latencies = _busy(scene, 10 * BUSY_LINES)
    return Measured([busy], "", [1.0], f"the longest call took {max(latencies):.1f} s")


def _busy(scene: Scene, lines: int) -> tuple[float, list[float]]:
    """Runs lines; returns their work over slots and wall time, and the latencies of the calls in the order in which they were made."""
    path = scene.lines(lines)
    with (
        scene.mock("--model", f"{MODEL}=lognormal:0.2:1") as mock,
        scene.server(mock.base_url, environment=HUGE) as server,
    ):
        run_batch(server, scene.lines(1))
        seconds = run_batch(server, path)
        calls = sorted(mock.calls()[1:], key=lambda call: call.arrived)
    latencies = [call.answered - call.arrived for call in calls]
    return sum(latencies) / SLOTS / seconds, latencies


def _ideal(latencies: Sequence[float]) -> float:
    """Returns the seconds in which slots that lose no moment make calls of these latencies, in this order."""
    free = [0.0] * SLOTS
    for latency in latencies:
        heapq.heapreplace(free, free[0] + latency)
    return max(free)


@row("a fast model beside one at 5 s a call / alone", at_most(1.1))
def fast_beside_slow(scene: Scene) -> Measured:
    """One batch; the time is from create to the end of the fast model's last call."""
    fast = scene.lines(48_000, 0, lambda _: "fast", "-fast")
    mixed = scene.lines(48_161, 0, lambda number: "slow" if number % 300 == 0 else "fast", "-mixed")
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(scene.rounds):
        for path, times in ((fast, alone), (mixed, beside)):
            with (
                scene.mock("--model", "fast=constant:0.005", "--model", "slow=constant:5") as mock,
                scene.server(mock.base_url) as server,
            ):
                run_batch(server, scene.lines(1, 0, lambda _: "fast", "-fast"))
                created = _created(server.grpc, path)
                lasts = [call.answered for call in mock.calls() if call.model == "fast"]
                count = sum(call.model == "fast" for call in mock.calls()) - 1
                times.append((lasts[-1] - created) / count)
    to_ms = [[seconds * 1000 for seconds in times] for times in (beside, alone)]
    return Measured(to_ms[0], "ms a line", to_ms[1])


def _created(target: str, path: object) -> float:
    """Runs a file; returns when its batch was created."""
    with Client(target) as client:
        file = client.files.upload(path)  # type: ignore[arg-type]
        created = time.monotonic()
        ended(client, client.batches.create(file.id).id)
    return created


ALLOWED = 1000


@row("goodput where calls beyond 1,000/s are refused with Retry-After 1 s", at_least(0.95), postgresql=at_least(0.95))
def refusals(scene: Scene) -> Measured:
    """The baseline is what the upstream allows; no call may come before its time."""
    path = scene.lines(25_000)
    with (
        scene.mock("--model", f"{MODEL}=constant:0.02", "--allow", str(ALLOWED)) as mock,
        scene.server(mock.base_url) as server,
    ):
        run_batch(server, scene.lines(1))
        run_batch(server, path)
        calls = mock.calls()[1:]
    taken = [call for call in calls if call.status == 200]
    seconds = max(call.answered for call in taken) - min(call.arrived for call in calls)
    # What it had saved up at the start, it gives on top of its rate.
    allowed = (ALLOWED * seconds + ALLOWED) / seconds
    early = _early(calls)
    note = f"{1 - len(taken) / len(calls):.0%} of the answers were refusals; {early} calls came before their time"
    return Measured([len(taken) / seconds], "lines/s", [allowed], note, met=not early)


def _early(calls: Sequence[Call]) -> int:
    """Counts calls that came while the upstream had asked to be left alone, but for those that were on their way."""
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
