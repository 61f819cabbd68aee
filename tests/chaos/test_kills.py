"""Processes that are killed, at random moments and at each fault point."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from batchwire_client import Backoff, Client, RetryPolicy

from bench.upstream import MODEL
from tests.chaos.fault_injection import POINTS
from tests.chaos.installation import Fault
from tests.chaos.scenario import Scenario, pause, wait_for_calls
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

API_POINTS = {"file without a row", "file with a row", "batch to be stored", "batch stored"}


def test_a_batch_survives_random_kills_of_any_role(scenario: Scenario, seeds: range) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    for seed in seeds:
        chance = random.Random(seed)
        batch = scenario.submit(installation, 1500, f"seed{seed}")
        for _ in range(3):
            pause(chance.uniform(0.0, 1.0))
            victim = chance.choice(installation.roles)
            installation.kill(victim)
            wait_until(lambda victim=victim: victim.alive)  # type: ignore[misc]  # a lambda's default
        scenario.wait_and_check(installation, [upstream], batch)
    scenario.stop_and_check_storage(installation)


def test_a_batch_survives_a_crash_at_each_fault_point(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream])
    installation.start()
    for number, point in enumerate(POINTS):
        role = installation.api if point in API_POINTS else installation.workers[0]
        # Stopped cleanly, and restarted with the fault.
        role.terminate()
        wait_until(lambda role=role: not role.alive)  # type: ignore[misc]  # a lambda's default
        role.fault = Fault(point)
        installation.start(role)
        batch = scenario.submit(installation, 300, f"point{number}")
        wait_until(lambda role=role: role.fault_count == 1)  # type: ignore[misc]  # a lambda's default
        installation.record_fault(kill=True)
        scenario.wait_and_check(installation, [upstream], batch)
    scenario.stop_and_check_storage(installation)


def test_another_worker_takes_over_from_a_killed_one(scenario: Scenario) -> None:
    upstreams = [scenario.upstream(0.02, 0.1), scenario.upstream(0.02, 0.1)]
    installation = scenario.install(upstreams, restart=False)
    first, second = installation.workers
    installation.start(installation.api, installation.gateway, first)
    batch = scenario.submit(installation, 400)
    wait_for_calls(upstreams[:1], 100)
    installation.kill(first)
    killed = installation.faults_at[-1]
    installation.start(second)
    held = {line for line, calls in upstreams[0].calls_by_line().items() if calls[-1].answered_at is None}
    scenario.record_recovery(upstreams[1], killed, held)
    scenario.wait_and_check(installation, upstreams, batch)
    scenario.stop_and_check_storage(installation)


def test_serve_restarts_a_killed_worker(scenario: Scenario, tmp_path: Path) -> None:
    upstream = scenario.upstream()
    options = (*scenario.setup.options[2:], "--upstream", upstream.base_url)  # `serve` has a data directory of its own
    content = chat_file(3000, MODEL)
    with Server(tmp_path, *options) as server, Client(server.grpc) as client:
        wait_until(lambda: len(server.workers()) == 1)
        batch_id = client.batches.create(client.files.upload(content, filename="in.jsonl").id).id
        for calls in (300, 1000):
            wait_for_calls([upstream], calls)
            (worker,) = server.workers()
            killed = time.monotonic()
            worker.kill()
            worker.wait()
            scenario.record_recovery(upstream, max(killed, upstream.calls[-1].received_at))
            wait_until(lambda: len(server.workers()) == 1)
        client.batches.wait(batch_id, timeout=60)
        assert check_ended(server.url, batch_id, content).batch["status"] == "completed"
    scenario.result.lines, scenario.result.kills = 3000, 2


def test_a_result_stream_yields_each_line_once_across_kills(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream, upstream])
    installation.start()
    batch = scenario.submit(installation, 2000)
    read: list[str] = []

    def follow() -> None:
        # More retries than by default: the api may be killed before the first result.
        with Client(installation.grpc, retry_policy=RetryPolicy(calls=Backoff(tries=50))) as client:
            read.extend(line["custom_id"] for line in client.batches.results(batch.id))

    reader = threading.Thread(target=follow)
    reader.start()
    for calls, victim in ((400, installation.api), (900, installation.workers[0]), (1400, installation.api)):
        wait_for_calls([upstream], calls)
        installation.kill(victim)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    reader.join(timeout=60)
    assert sorted(read) == sorted(line["custom_id"] for line in ended.output)
    scenario.stop_and_check_storage(installation)


def test_shards_that_crash_their_worker_are_quarantined_and_complete(scenario: Scenario) -> None:
    upstream = scenario.upstream()
    installation = scenario.install([upstream])
    worker = installation.workers[0]
    worker.fault = Fault("shard claimed", times=3)
    installation.start()
    batch = scenario.submit(installation, 100)
    wait_until(lambda: worker.fault_count == worker.fault.times if worker.fault else False)
    installation.record_fault(kill=True)
    (ended,) = scenario.wait_and_check(installation, [upstream], batch)
    assert ended.batch["status"] == "completed"
    assert len(ended.output) == batch.lines
    scenario.stop_and_check_storage(installation)
