"""Processes that freeze, lose their leases, and resume."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from batchwire_client import Client
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.tables import TASK
from batchwire_server.core.records import TaskKind
from sqlalchemy import update

from tests.chaos.checks import settings_of
from tests.chaos.installation import WORK, Fault, Setup
from tests.chaos.scenario import Scenario, wait_for_calls
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until


def test_a_worker_that_resumes_after_its_lease_expired_neither_calls_nor_writes_lost_lines(scenario: Scenario) -> None:
    upstreams = [scenario.upstream(), scenario.upstream()]
    installation = scenario.install(upstreams)
    zombie, other = installation.workers
    zombie.fault = Fault("segment with a row", action="stop")
    installation.start(installation.api, installation.gateway, zombie)
    batch = scenario.submit(installation, 3000)
    wait_until(lambda: zombie.fault_count == 1)
    frozen = installation.record_fault()
    held = {line for line, calls in upstreams[0].calls_by_line().items() if calls[-1].answered_at is None}
    installation.start(other)
    # If every call was answered when the worker froze, any later call shows that work continues.
    scenario.record_recovery(upstreams[1], frozen, held or None)
    taken = {line for line in upstreams[1].calls_by_line() if line in upstreams[0].calls_by_line()}
    woken = installation.record_fault()
    zombie.send(signal.SIGCONT)
    scenario.wait_and_check(installation, upstreams, batch)
    again = {call.line for call in upstreams[0].calls if call.received_at > woken} & taken
    assert not again
    scenario.stop_and_check_storage(installation)


def test_only_one_of_two_finalizers_ends_the_batch(scenario: Scenario) -> None:
    upstreams = [scenario.upstream(), scenario.upstream()]
    installation = scenario.install(upstreams)
    sleeper, other = installation.workers
    sleeper.fault = Fault("results without a row", action="stop")
    installation.start(installation.api, installation.gateway, sleeper)
    batch = scenario.submit(installation, 300)
    wait_until(lambda: sleeper.fault_count == 1)
    installation.start(other)
    batch.monitor.wait(60)
    sleeper.send(signal.SIGCONT)
    installation.record_fault()
    # It notices, deletes its file or leaves it to the sweeper, and goes on to run other batches.
    installation.kill(other)
    other.should_run = False
    second = scenario.submit(installation, 300, "second")
    scenario.wait_and_check(installation, upstreams, batch, second)
    scenario.stop_and_check_storage(installation)


def test_a_shard_held_by_two_workers_counts_once(scenario: Scenario) -> None:
    upstreams = [scenario.upstream(), scenario.upstream()]
    installation = scenario.install(upstreams)
    installation.start()
    batch = scenario.submit(installation, 3000)
    for calls in (300, 900, 1500):
        wait_for_calls(upstreams, calls)
        asyncio.run(_expire_leases(scenario.setup))
        installation.record_fault()
    scenario.wait_and_check(installation, upstreams, batch)
    scenario.stop_and_check_storage(installation)


async def _expire_leases(setup: Setup) -> None:
    """Expire the leases of all shards; their holders are not told."""
    database = Database(settings_of(setup).database_url)
    async with database.write() as connection:
        leased = update(TASK).where(TASK.c.state == "leased", TASK.c.kind == str(TaskKind.RUN))
        await connection.execute(leased.values(lease_until=0))
    await database.close()


def test_serve_replaces_a_frozen_worker(scenario: Scenario, tmp_path: Path) -> None:
    upstream = scenario.upstream()
    options = (*scenario.setup.options[2:], "--upstream", upstream.base_url)  # `serve` has a data directory of its own
    with Server(tmp_path, *options, environment=dict(WORK)) as server:
        wait_until(lambda: len(server.workers()) == 1)
        (worker,) = server.workers()
        content = chat_file(1500, "mock")
        with Client(server.grpc) as client:
            batch_id = client.batches.create(client.files.upload(content, filename="in.jsonl").id).id
            wait_for_calls([upstream], 300)
            worker.suspend()
            frozen = time.monotonic()
            wait_until(lambda: worker.pid not in [each.pid for each in server.workers()])
            scenario.record_recovery(upstream, max(frozen, upstream.calls[-1].received_at))
            client.batches.wait(batch_id, timeout=60)
        assert check_ended(server.url, batch_id, content).batch["status"] == "completed"
        scenario.result.lines, scenario.result.kills = 1500, 1
