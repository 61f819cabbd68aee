"""New versions: workers that are told to end hand over what they hold."""

from __future__ import annotations

from tests.chaos.scenario import Stage, until_asked
from tests.support.server import wait_until


def test_a_rolling_restart_of_all_workers_costs_nothing(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness] * 3)
    installation.start()
    batches = [stage.submit(installation, 2500, f"roll{number}") for number in range(2)]
    for number, worker in enumerate(installation.workers):
        until_asked([witness], 600 * (number + 1))
        before = worker.process
        worker.end()
        worker.wanted = True  # started anew as soon as it has ended
        wait_until(lambda before=before, worker=worker: worker.process is not before)  # type: ignore[misc]
    ended = stage.judge(installation, [witness], *batches)
    assert [each.batch["status"] for each in ended] == ["completed"] * 2
    assert len(witness.calls) == 5000, "a clean end costs no call"
    assert not stage.settle(installation).orphans


def test_a_rolling_restart_does_not_wait_for_leases(stage: Stage) -> None:
    """With leases of an hour a batch could not end if anything that was handed over had to wait for one."""
    witness = stage.witness()
    installation = stage.install([witness] * 2, BATCHWIRE_WORK__LEASE_TTL="3600", BATCHWIRE_WORK__HEARTBEAT="1")
    installation.start()
    batch = stage.submit(installation, 3000)
    for number, worker in enumerate(installation.workers):
        until_asked([witness], 800 * (number + 1))
        before = worker.process
        worker.end()
        worker.wanted = True
        wait_until(lambda before=before, worker=worker: worker.process is not before)  # type: ignore[misc]
    stage.judge(installation, [witness], batch)
    assert len(witness.calls) == batch.lines
    stage.settle(installation)
