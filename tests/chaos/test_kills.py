"""Processes that are killed: at random moments, and at the worst ones."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from batchwire_client import Backoff, Client, Patience

from bench.upstream import MODEL
from tests.chaos.fault_injection import POINTS
from tests.chaos.installation import Failure
from tests.chaos.scenario import Stage, pause, until_asked
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

OF_THE_API = {"file without a row", "file with a row", "batch to be stored", "batch stored"}


def test_any_role_may_be_killed_at_any_moment(stage: Stage, seeds: range) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    for seed in seeds:
        chance = random.Random(seed)
        batch = stage.submit(installation, 1500, f"seed{seed}")
        for _ in range(3):
            pause(chance.uniform(0.0, 1.0))
            victim = chance.choice(installation.roles)
            installation.kill(victim)
            wait_until(lambda victim=victim: victim.alive)  # type: ignore[misc]  # a lambda's default
        stage.judge(installation, [witness], batch)
    stage.settle(installation)


def test_a_crash_between_an_act_and_its_record_costs_nothing(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness])
    installation.start()
    for number, point in enumerate(POINTS):
        role = installation.api if point in OF_THE_API else installation.workers[0]
        # Ended well, and started anew with the failure in it.
        role.end()
        wait_until(lambda role=role: not role.alive)  # type: ignore[misc]
        role.failure = Failure(point)
        installation.start(role)
        batch = stage.submit(installation, 300, f"point{number}")
        wait_until(lambda role=role: role.failed == 1)  # type: ignore[misc]
        installation.disturb(kill=True)
        stage.judge(installation, [witness], batch)
    stage.settle(installation)


def test_another_worker_takes_over_from_one_that_is_gone(stage: Stage) -> None:
    witnesses = [stage.witness(0.02, 0.1), stage.witness(0.02, 0.1)]
    installation = stage.install(witnesses, restart=False)
    first, second = installation.workers
    installation.start(installation.api, installation.gateway, first)
    batch = stage.submit(installation, 400)
    until_asked(witnesses[:1], 100)
    installation.kill(first)
    killed = installation.disturbances[-1]
    installation.start(second)
    held = {line for line, calls in witnesses[0].of_line().items() if calls[-1].answered is None}
    stage.note_recovery(witnesses[1], killed, held)
    stage.judge(installation, witnesses, batch)
    stage.settle(installation)


def test_on_one_machine_a_killed_worker_is_started_again_at_once(stage: Stage, tmp_path: Path) -> None:
    witness = stage.witness()
    options = (*stage.setup.options[2:], "--upstream", witness.base_url)  # a folder of data is its own
    content = chat_file(3000, MODEL)
    with Server(tmp_path, *options) as server, Client(server.grpc) as client:
        wait_until(lambda: len(server.workers()) == 1)
        batch_id = client.batches.create(client.files.upload(content, filename="in.jsonl").id).id
        for calls in (300, 1000):
            until_asked([witness], calls)
            (worker,) = server.workers()
            killed = time.monotonic()
            worker.kill()
            worker.wait()
            stage.note_recovery(witness, max(killed, witness.calls[-1].asked))
            wait_until(lambda: len(server.workers()) == 1)
        client.batches.wait(batch_id, timeout=60)
        assert check_ended(server.url, batch_id, content).batch["status"] == "completed"
    stage.figures.lines, stage.figures.kills = 3000, 2


def test_who_reads_results_while_they_come_gets_each_once_whatever_is_killed(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness, witness])
    installation.start()
    batch = stage.submit(installation, 2000)
    read: list[str] = []

    def follow() -> None:
        # The api is killed before the first result, too, when a client gives up after some seconds by default.
        with Client(installation.grpc, patience=Patience(calls=Backoff(tries=50))) as client:
            read.extend(line["custom_id"] for line in client.batches.results(batch.id))

    reader = threading.Thread(target=follow)
    reader.start()
    for calls, victim in ((400, installation.api), (900, installation.workers[0]), (1400, installation.api)):
        until_asked([witness], calls)
        installation.kill(victim)
    (ended,) = stage.judge(installation, [witness], batch)
    reader.join(timeout=60)
    assert sorted(read) == sorted(line["custom_id"] for line in ended.output)
    stage.settle(installation)


def test_a_worker_that_crashes_with_all_it_takes_ends_in_isolation(stage: Stage) -> None:
    witness = stage.witness()
    installation = stage.install([witness])
    worker = installation.workers[0]
    worker.failure = Failure("shard claimed", times=3)
    installation.start()
    batch = stage.submit(installation, 100)
    wait_until(lambda: worker.failed == worker.failure.times if worker.failure else False)
    installation.disturb(kill=True)
    (ended,) = stage.judge(installation, [witness], batch)
    assert ended.batch["status"] == "completed"
    assert len(ended.output) == batch.lines
    stage.settle(installation)
