"""Ends that race: each batch ends once, and each line is in one of the two result files."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.chaos.installation import Fault
from tests.chaos.scenario import Batch, Scenario, wait_for_calls
from tests.support.server import wait_until

ROUNDS = 8


def reached(batch: Batch, lines: int) -> bool:
    """Return whether so many lines of a batch have completed, or the batch has ended."""
    return batch.monitor.counts()["completed"] >= lines or batch.monitor.ended


def test_a_cancel_that_races_the_last_lines_ends_the_batch_once(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batches = []
    for number in range(ROUNDS):
        batch = scenario.submit(installation, 100, f"race{number}")
        # From the last lines in flight to the writing of the result files.
        wait_until(partial(reached, batch, 40 + 8 * number))
        installation.cancel(batch.id)
        batches.append(batch)
    ends = {ended.batch["status"] for ended in scenario.wait_and_check(installation, [upstream], *batches)}
    assert ends <= {"cancelled", "completed"}
    assert not scenario.stop_and_check_storage(installation).orphans


def test_a_cancelled_batch_ends_after_its_worker_was_killed(scenario: Scenario) -> None:
    upstream = scenario.upstream(0.5, 1.0)
    installation = scenario.install([upstream], BATCHWIRE_WORK__CANCEL_GRACE="5")
    (worker,) = installation.workers
    installation.start()
    batch = scenario.submit(installation, 1000)
    wait_for_calls([upstream], 64)
    worker.should_run = False
    installation.cancel(batch.id)
    installation.kill(worker)
    calls = len(upstream.calls)
    installation.start(worker)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "cancelled"
    assert len(upstream.calls) == calls, "no line of a cancelled batch may start"
    scenario.stop_and_check_storage(installation)


@pytest.mark.parametrize("workers", [1, 8])
def test_a_cancel_reaches_every_worker(scenario: Scenario, workers: int) -> None:
    """Lines in flight may end; none starts after the next poll, half a second later."""
    upstream = scenario.upstream(0.2, 0.4)
    # Eight processes on a small machine may stall for longer than a short lease, and cancel their
    # calls.
    installation = scenario.install([upstream] * workers, BATCHWIRE_WORK__LEASE_TTL="60", BATCHWIRE_WORK__HEARTBEAT="5")
    installation.start()
    batch = scenario.submit(installation, 4000)
    wait_for_calls([upstream], 300)
    installation.cancel(batch.id)
    cancelled = time.monotonic()
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "cancelled"
    last = max(call.received_at for call in upstream.calls)
    scenario.result.recovery_s = max(0.0, last - cancelled)
    assert len(ended.output) == len({call.line for call in upstream.calls if call.answered_at})
    scenario.stop_and_check_storage(installation)


def test_an_expiry_that_races_the_last_lines_ends_the_batch_once(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    # Some complete in time, some expire, and some are close.
    batches = [
        scenario.submit(installation, 60 * number, f"window{number}", completion_window="2s")
        for number in range(1, ROUNDS)
    ]
    ended = scenario.wait_and_check(installation, [upstream], *batches)
    for each in ended:
        unrun = [line for line in each.errors if line["response"] is None]
        assert (each.batch["status"] == "expired") == bool(unrun)
        assert all(line["error"]["code"] == "batch_expired" for line in unrun)
    scenario.stop_and_check_storage(installation)


@pytest.mark.parametrize(("end", "code"), [("cancelled", "batch_cancelled"), ("expired", "batch_expired")])
def test_a_batch_can_end_while_all_its_lines_wait_for_a_retry(scenario: Scenario, end: str, code: str) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batch = scenario.submit(installation, 1500, completion_window="8s" if end == "expired" else "1h")
    wait_for_calls([upstream], 300)
    upstream.stop_serving()
    answered = len({call.line for call in upstream.calls if call.answered_at})
    if end == "cancelled":
        installation.cancel(batch.id)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == end
    assert len(ended.output) == answered
    assert {line["error"]["code"] for line in ended.errors} == {code}
    scenario.stop_and_check_storage(installation)


@pytest.mark.parametrize("point", ["input validated", "results without a row"])
def test_a_cancel_while_no_worker_runs_takes_effect(scenario: Scenario, point: str) -> None:
    """The worker dies during validation or finalizing; the next one finds a cancelled batch."""
    upstream = scenario.upstream()
    installation = scenario.install([upstream], restart=False)
    (worker,) = installation.workers
    worker.fault = Fault(point)
    installation.start()
    batch = scenario.submit(installation, 200)
    wait_until(lambda: worker.fault_count == 1)
    installation.record_fault(kill=True)
    installation.cancel(batch.id)
    installation.start(worker)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    expected = {"input validated": "cancelled", "results without a row": "completed"}
    assert ended.batch["status"] == expected[point]
    scenario.stop_and_check_storage(installation)
