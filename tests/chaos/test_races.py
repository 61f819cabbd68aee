"""Ends that come at the same moment: each batch has one, and its lines are in one of the two files, once."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.chaos.installation import Failure
from tests.chaos.scenario import Batch, Stage, until_asked
from tests.support.server import wait_until

ROUNDS = 8


def has_completed(batch: Batch, lines: int) -> bool:
    """Return whether so many lines of a batch are done, or it has ended."""
    return batch.seen.counts()["completed"] >= lines or batch.seen.ended


def test_a_cancel_that_races_the_last_lines(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batches = []
    for number in range(ROUNDS):
        batch = stage.submit(installation, 100, f"race{number}")
        # From the last lines in flight to files that are just being written.
        wait_until(partial(has_completed, batch, 40 + 8 * number))
        installation.cancel(batch.id)
        batches.append(batch)
    ends = {ended.batch["status"] for ended in stage.judge(installation, [witness], *batches)}
    assert ends <= {"cancelled", "completed"}
    assert not stage.settle(installation).orphans


def test_a_cancel_outlives_the_worker_that_runs_the_batch(stage: Stage) -> None:
    witness = stage.witness(0.5, 1.0)
    installation = stage.install([witness], BATCHWIRE_WORK__CANCEL_GRACE="5")
    (worker,) = installation.workers
    installation.start()
    batch = stage.submit(installation, 1000)
    until_asked([witness], 64)
    worker.wanted = False
    installation.cancel(batch.id)
    installation.kill(worker)
    calls = len(witness.calls)
    installation.start(worker)
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "cancelled"
    assert len(witness.calls) == calls, "nothing of a cancelled batch is started"
    stage.settle(installation)


@pytest.mark.parametrize("workers", [1, 8])
def test_a_cancel_reaches_every_worker(stage: Stage, workers: int) -> None:
    """Lines in flight may end; none is started once the workers have looked, which they do twice a second."""
    witness = stage.witness(0.2, 0.4)
    # Eight processes on a small machine may stall for longer than a short lease, and then cut their calls off.
    installation = stage.install([witness] * workers, BATCHWIRE_WORK__LEASE_TTL="60", BATCHWIRE_WORK__HEARTBEAT="5")
    installation.start()
    batch = stage.submit(installation, 4000)
    until_asked([witness], 300)
    installation.cancel(batch.id)
    cancelled = time.monotonic()
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "cancelled"
    last = max(call.asked for call in witness.calls)
    stage.figures.recovery_s = max(0.0, last - cancelled)
    assert len(ended.output) == len({call.line for call in witness.calls if call.answered})
    stage.settle(installation)


def test_a_window_that_ends_with_the_last_lines(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    # Some of these end in time, some do not, and some just about.
    batches = [
        stage.submit(installation, 60 * number, f"window{number}", completion_window="2s")
        for number in range(1, ROUNDS)
    ]
    ended = stage.judge(installation, [witness], *batches)
    for each in ended:
        unrun = [line for line in each.errors if line["response"] is None]
        assert (each.batch["status"] == "expired") == bool(unrun)
        assert all(line["error"]["code"] == "batch_expired" for line in unrun)
    stage.settle(installation)


@pytest.mark.parametrize(("end", "code"), [("cancelled", "batch_cancelled"), ("expired", "batch_expired")])
def test_an_end_while_all_lines_wait_to_be_called_again(stage: Stage, end: str, code: str) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batch = stage.submit(installation, 1500, completion_window="8s" if end == "expired" else "1h")
    until_asked([witness], 300)
    witness.go_away()
    answered = len({call.line for call in witness.calls if call.answered})
    if end == "cancelled":
        installation.cancel(batch.id)
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == end
    assert len(ended.output) == answered
    assert {line["error"]["code"] for line in ended.errors} == {code}
    stage.settle(installation)


@pytest.mark.parametrize("point", ["input validated", "results without a row"])
def test_a_cancel_while_nobody_works_on_the_batch(stage: Stage, point: str) -> None:
    """The worker is gone, within validation and within finalizing; the next one finds a batch that was cancelled meanwhile."""
    witness = stage.witness()
    installation = stage.install([witness], restart=False)
    (worker,) = installation.workers
    worker.failure = Failure(point)
    installation.start()
    batch = stage.submit(installation, 200)
    wait_until(lambda: worker.failed == 1)
    installation.disturb(kill=True)
    installation.cancel(batch.id)
    installation.start(worker)
    (ended,) = stage.judge(installation, [witness], batch)
    wanted = {"input validated": "cancelled", "results without a row": "completed"}
    assert ended.batch["status"] == wanted[point]
    stage.settle(installation)
