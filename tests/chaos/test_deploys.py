"""Rolling restarts: workers that get SIGTERM hand over their shards."""

from __future__ import annotations

from tests.chaos.scenario import Scenario, wait_for_calls
from tests.support.server import wait_until


def test_a_rolling_restart_of_all_workers_repeats_no_call(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream] * 3)
    installation.start()
    batches = [scenario.submit(installation, 2500, f"roll{number}") for number in range(2)]
    for number, worker in enumerate(installation.workers):
        wait_for_calls([upstream], 600 * (number + 1))
        before = worker.process
        worker.terminate()
        worker.should_run = True  # restarted as soon as it has ended
        wait_until(lambda before=before, worker=worker: worker.process is not before)  # type: ignore[misc]  # a lambda's default
    ended = scenario.wait_and_check(installation, [upstream], *batches)
    assert [each.batch["status"] for each in ended] == ["completed"] * 2
    assert len(upstream.calls) == 5000, "a clean shutdown must repeat no call"
    assert not scenario.stop_and_check_storage(installation).orphans


def test_a_rolling_restart_does_not_wait_for_leases(scenario: Scenario) -> None:
    """With leases of an hour, the batch can end only if no shard waits for a lease to expire."""
    upstream = scenario.upstream()
    installation = scenario.install([upstream] * 2, BATCHWIRE_WORK__LEASE_TTL="3600", BATCHWIRE_WORK__HEARTBEAT="1")
    installation.start()
    batch = scenario.submit(installation, 3000)
    for number, worker in enumerate(installation.workers):
        wait_for_calls([upstream], 800 * (number + 1))
        before = worker.process
        worker.terminate()
        worker.should_run = True
        wait_until(lambda before=before, worker=worker: worker.process is not before)  # type: ignore[misc]  # a lambda's default
    scenario.wait_and_check(installation, [upstream], batch)
    assert len(upstream.calls) == batch.lines
    scenario.stop_and_check_storage(installation)
