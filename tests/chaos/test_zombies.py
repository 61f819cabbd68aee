"""Processes that stand still while others go on, and then wake up: what they held is not theirs any more."""

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
from tests.chaos.installation import WORK, Failure, Setup
from tests.chaos.scenario import Stage, until_asked
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until


def test_a_worker_that_wakes_up_after_its_lease_calls_and_writes_nothing_of_what_it_lost(stage: Stage) -> None:
    witnesses = [stage.witness(), stage.witness()]
    installation = stage.install(witnesses)
    zombie, other = installation.workers
    zombie.failure = Failure("segment with a row", action="stop")
    installation.start(installation.api, installation.gateway, zombie)
    batch = stage.submit(installation, 3000)
    wait_until(lambda: zombie.failed == 1)
    frozen = installation.disturb()
    held = {line for line, calls in witnesses[0].of_line().items() if calls[-1].answered is None}
    installation.start(other)
    stage.note_recovery(witnesses[1], frozen, held)
    taken = {line for line in witnesses[1].of_line() if line in witnesses[0].of_line()}
    woken = installation.disturb()
    zombie.send(signal.SIGCONT)
    stage.judge(installation, witnesses, batch)
    again = {call.line for call in witnesses[0].calls if call.asked > woken} & taken
    assert not again
    stage.settle(installation)


def test_of_two_finalizers_one_ends_the_batch(stage: Stage) -> None:
    witnesses = [stage.witness(), stage.witness()]
    installation = stage.install(witnesses)
    sleeper, other = installation.workers
    sleeper.failure = Failure("results without a row", action="stop")
    installation.start(installation.api, installation.gateway, sleeper)
    batch = stage.submit(installation, 300)
    wait_until(lambda: sleeper.failed == 1)
    installation.start(other)
    batch.seen.wait(60)
    sleeper.send(signal.SIGCONT)
    installation.disturb()
    # It finds out, takes its file back or leaves it to the sweeper, and is as good as new.
    installation.kill(other)
    other.wanted = False
    second = stage.submit(installation, 300, "second")
    stage.judge(installation, witnesses, batch, second)
    stage.settle(installation)


def test_a_shard_that_is_forced_on_two_workers_counts_once(stage: Stage) -> None:
    witnesses = [stage.witness(), stage.witness()]
    installation = stage.install(witnesses)
    installation.start()
    batch = stage.submit(installation, 3000)
    for calls in (300, 900, 1500):
        until_asked(witnesses, calls)
        asyncio.run(_end_leases(stage.setup))
        installation.disturb()
    stage.judge(installation, witnesses, batch)
    stage.settle(installation)


async def _end_leases(setup: Setup) -> None:
    """Take from everybody what they hold, without a word to them."""
    database = Database(settings_of(setup).database_url)
    async with database.write() as connection:
        leased = update(TASK).where(TASK.c.state == "leased", TASK.c.kind == str(TaskKind.RUN))
        await connection.execute(leased.values(lease_until=0))
    await database.close()


def test_on_one_machine_a_worker_that_stands_still_is_replaced(stage: Stage, tmp_path: Path) -> None:
    witness = stage.witness()
    options = (*stage.setup.options[2:], "--upstream", witness.base_url)  # a folder of data is its own
    with Server(tmp_path, *options, environment=dict(WORK)) as server:
        wait_until(lambda: len(server.workers()) == 1)
        (worker,) = server.workers()
        content = chat_file(1500, "mock")
        with Client(server.grpc) as client:
            batch_id = client.batches.create(client.files.upload(content, filename="in.jsonl").id).id
            until_asked([witness], 300)
            worker.suspend()
            frozen = time.monotonic()
            wait_until(lambda: worker.pid not in [each.pid for each in server.workers()])
            stage.note_recovery(witness, max(frozen, witness.calls[-1].asked))
            client.batches.wait(batch_id, timeout=60)
        assert check_ended(server.url, batch_id, content).batch["status"] == "completed"
        stage.figures.lines, stage.figures.kills = 1500, 1
