"""Behaviour of every TaskQueue: claims, leases, releases and quarantine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, ClaimRequest, ShardReport
from batchwire_server.core.records import TaskKind

from tests.ports.sql_harness import SqlHarness, over_sql
from tests.ports.stores import OTHER_KINDS, RUN_KINDS, TTL, StoreHarness, a_batch, segment, shards

S = BatchStatus
CLAIMER = Path(__file__).parent / "claimer.py"


class TestClaiming:
    async def test_a_claimed_task_has_all_its_fields(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=[("n", shards(1)[0][1])])
        task = await harness.claim_one(TaskKind.RUN)
        assert (task.batch_id, task.tenant, task.model, task.deadline) == (batch.id, "acme", "n", batch.expires_at)
        assert task.shard == shards(1)[0][1]
        assert (task.epoch, task.attempts) == (1, 1)
        assert task.deadline
        assert batch.created_at <= task.claimed_at < task.deadline

    async def test_only_the_requested_kinds_are_claimed(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        assert await harness.store.claim(ClaimRequest("w1", OTHER_KINDS, ttl_s=TTL, limit=9)) == []
        assert len(await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=9))) == 1

    async def test_a_leased_task_is_not_claimed_again(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(3))
        assert len(await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=2))) == 2
        assert len(await harness.store.claim(ClaimRequest("w2", RUN_KINDS, ttl_s=TTL, limit=2))) == 1
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=2)) == []

    async def test_the_earliest_deadline_comes_first(self, harness: StoreHarness) -> None:
        late = await harness.start_batch(a_batch(window_seconds=9000))
        soon = await harness.start_batch(a_batch(window_seconds=300))
        middle = await harness.start_batch(a_batch(window_seconds=3000))
        order = []
        for worker in "abc":
            task = await harness.claim_one(TaskKind.RUN, worker)
            order.append(task.batch_id)
            await harness.store.record([ShardReport(task, None, done=True)])
        assert order == [soon.id, middle.id, late.id]

    async def test_tasks_without_a_deadline_come_last(self, harness: StoreHarness) -> None:
        await harness.store.add_batch(a_batch())
        kinds = [TaskKind.SWEEP, TaskKind.VALIDATE]
        order = [(await harness.store.claim(ClaimRequest("w1", kinds, ttl_s=TTL)))[0].kind for _ in range(2)]
        assert order == [TaskKind.VALIDATE, TaskKind.SWEEP]

    async def test_shards_of_a_batch_are_claimed_in_order(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(6))
        claimed = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=4))
        assert [task.shard and task.shard.window for task in claimed] == [0, 1, 2, 3]

    async def test_the_tenant_with_the_fewest_leased_shards_comes_first(self, harness: StoreHarness) -> None:
        await harness.start_batch(a_batch("huge", window_seconds=60), shards(20))
        await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        small = await harness.start_batch(a_batch("small"), shards(2))
        tenants = [(await harness.claim_one(TaskKind.RUN)).tenant for _ in range(3)]
        assert tenants == ["small", "small", "huge"]
        assert small.tenant == "small"

    async def test_expired_leases_do_not_count_against_their_tenant(self, harness: StoreHarness) -> None:
        await harness.start_batch(a_batch("huge", window_seconds=60), shards(20))
        await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await harness.advance(TTL * 10)
        await harness.start_batch(a_batch("small"), shards(2))
        assert (await harness.claim_one(TaskKind.RUN)).tenant == "huge"

    async def test_shards_of_full_models_are_skipped(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=[*shards(2, "m"), *shards(1, "n")])
        assert (await harness.claim_one(TaskKind.RUN, full_models=["m"])).model == "n"
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, full_models=["m", "n"])) == []
        assert (await harness.claim_one(TaskKind.RUN, full_models=["n"])).model == "m"

    async def test_max_shards_limits_ready_shards_and_not_expired_leases(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=[*shards(4, "m"), *shards(4, "n")])
        claimed = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, max_shards={"m": 1}, limit=4))
        assert [task.model for task in claimed] == ["m", "n", "n", "n"]
        await harness.advance(TTL * 10)
        claimed = await harness.store.claim(
            ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, max_shards={"m": 0, "n": 4}, limit=9)
        )
        assert [task.model for task in claimed] == ["m", "n", "n", "n", "n"]

    async def test_shards_of_saturated_pairs_are_skipped_and_those_of_other_tenants_are_not(
        self, harness: StoreHarness
    ) -> None:
        await harness.start_batch(a_batch("huge"), [*shards(2, "m"), *shards(1, "n")])
        await harness.start_batch(a_batch("small"), shards(1, "m"))
        saturated = [("m", "huge"), ("n", "small")]
        claimed = [await harness.claim_one(TaskKind.RUN, saturated=saturated) for _ in range(2)]
        assert {(task.model, task.tenant) for task in claimed} == {("m", "small"), ("n", "huge")}
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, saturated=saturated)) == []

    async def test_a_task_is_not_due_before_its_delay_is_over(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await harness.store.release(await harness.claim_one(TaskKind.RUN), 60.0)
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL)) == []
        await harness.advance(61)
        assert (await harness.claim_one(TaskKind.RUN)).attempts == 2

    async def test_many_coroutines_claim_every_shard_exactly_once(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(40))
        gathered = await asyncio.gather(
            *(harness.store.claim(ClaimRequest(f"w{number}", RUN_KINDS, ttl_s=TTL, limit=3)) for number in range(14))
        )
        claimed = Counter(task.id for tasks in gathered for task in tasks)
        assert len(claimed) == 40
        assert set(claimed.values()) == {1}

    @over_sql
    async def test_two_processes_claim_every_shard_exactly_once(self, sql_harness: SqlHarness) -> None:
        await sql_harness.start_batch(parts=shards(24))
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(CLAIMER), sql_harness.url, f"w{number}", stdout=asyncio.subprocess.PIPE
            )
            for number in range(2)
        ]
        printed = [(await process.communicate())[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        claimed = Counter(int(task_id) for one in printed for task_id in one.split())
        assert len(claimed) == 24
        assert set(claimed.values()) == {1}

    async def test_ids_of_tasks_are_never_used_again(self, harness: StoreHarness) -> None:
        used: set[int] = set()
        for _ in range(3):
            batch = await harness.store.add_batch(a_batch())
            ids = {row["id"] for row in await harness.tasks(batch)}
            assert not used & ids
            used |= ids
            await harness.store.reject(await harness.claim_one(TaskKind.VALIDATE), [])
            assert await harness.tasks(batch) == []

    async def test_there_is_always_one_task_of_each_sweeping_kind(self, harness: StoreHarness) -> None:
        kinds = [TaskKind.SWEEP, TaskKind.ORPHANS]
        kept = [(task["kind"], task["state"], task["batch_id"]) for task in await harness.all_tasks()]
        assert kept == [(kind, "ready", None) for kind in kinds]
        for kind in kinds:
            await harness.store.release(await harness.claim_one(kind), 0.0)
            assert (await harness.claim_one(kind, "w2")).attempts == 2


class TestWaiting:
    async def test_unclaimed_control_tasks_are_overdue(self, harness: StoreHarness) -> None:
        await harness.store.add_batch(a_batch())
        assert not await harness.store.overdue(30)
        await harness.advance(31)
        assert await harness.store.overdue(30)
        await harness.store.claim(
            ClaimRequest("w1", [kind for kind in TaskKind if kind is not TaskKind.RUN], ttl_s=TTL, limit=9)
        )
        assert not await harness.store.overdue(30)

    async def test_waiting_shards_are_not_overdue(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(3))
        await harness.store.claim(
            ClaimRequest("w1", [kind for kind in TaskKind if kind is not TaskKind.RUN], ttl_s=TTL * 99, limit=9)
        )
        await harness.advance(100)
        assert not await harness.store.overdue(30)


class TestLeasing:
    async def test_an_expired_lease_is_taken_over_under_a_new_epoch(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN, "w1")
        await harness.expire_lease(task)
        again = await harness.claim_one(TaskKind.RUN, "w2")
        assert (again.id, again.epoch, again.attempts) == (task.id, task.epoch + 1, 2)
        assert await harness.store.held("w1") == []

    async def test_a_lease_is_taken_over_only_if_it_expired_by_expired_before(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN, "w1")
        await harness.expire_lease(task)
        end = await harness.lease_end(task)
        request = ClaimRequest("w2", RUN_KINDS, ttl_s=TTL, expired_before=end - 1)
        assert await harness.store.claim(request) == []
        assert len(await harness.store.claim(replace(request, expired_before=end))) == 1

    async def test_renew_returns_the_database_clock(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        assert await harness.store.renew("w1", TTL) >= batch.created_at

    async def test_a_lease_of_zero_seconds_expires_at_once(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=0.0))
        assert len(await harness.store.claim(ClaimRequest("w2", RUN_KINDS, ttl_s=TTL))) == 1

    async def test_renew_extends_the_leases_of_one_worker_alone(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(3))
        mine = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=2))
        theirs = await harness.claim_one(TaskKind.RUN, "w10")
        await harness.advance(TTL * 10)
        await harness.store.renew("w1", TTL)
        assert [task.id for task in await harness.store.claim(ClaimRequest("w2", RUN_KINDS, ttl_s=TTL, limit=9))] == [
            theirs.id
        ]
        assert sorted(held.id for held in await harness.store.held("w1")) == [task.id for task in mine]

    async def test_held_returns_the_status_of_each_tasks_batch(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.cancel_batch("acme", batch.id)
        (held,) = await harness.store.held("w1")
        assert (held.id, held.epoch, held.batch_status) == (task.id, task.epoch, S.CANCELLING)

    async def test_a_held_task_without_a_batch_has_no_status(self, harness: StoreHarness) -> None:
        sweep = await harness.claim_one(TaskKind.SWEEP)
        assert sweep.batch_id is None
        (held,) = await harness.store.held("w1")
        assert held.batch_status is None

    async def test_a_released_task_is_due_again(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.release(task)
        assert await harness.store.held("w1") == []
        assert (await harness.claim_one(TaskKind.RUN, "w2")).epoch == task.epoch + 1

    async def test_a_held_task_can_be_released(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await harness.claim_one(TaskKind.RUN)
        (held,) = await harness.store.held("w1")
        await harness.store.release(held)
        assert await harness.store.held("w1") == []

    async def test_release_worker_releases_its_tasks_and_those_of_workers_below_it(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(6))
        for worker in ("node", "node/0", "node/1", "node2", "nod", "node_/0"):
            await harness.claim_one(TaskKind.RUN, worker)
        assert await harness.store.release_worker("node", crashed=True) == 3
        assert len(await harness.store.claim(ClaimRequest("x", RUN_KINDS, ttl_s=TTL, limit=9))) == 3

    async def test_wildcards_in_a_workers_name_are_literal(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=shards(3))
        for worker in ("a_c/0", "abc/0", "a%c/0"):
            await harness.claim_one(TaskKind.RUN, worker)
        assert await harness.store.release_worker("a_c", crashed=False) == 1
        assert await harness.store.release_worker("a%c", crashed=False) == 1

    async def test_model_shares_counts_the_workers_that_hold_shards_of_a_model(self, harness: StoreHarness) -> None:
        await harness.start_batch(parts=[*shards(3, "m"), *shards(1, "n")])
        for worker in ("w1", "w1", "w2"):
            await harness.claim_one(TaskKind.RUN, worker, full_models=["n"])
        dead = await harness.claim_one(TaskKind.RUN, "w3")
        assert await harness.store.model_shares() == {"m": 2, "n": 1}
        await harness.expire_lease(dead)
        assert await harness.store.model_shares() == {"m": 2}


class TestCrashes:
    """Holders that end without releasing their tasks."""

    async def crash(self, harness: StoreHarness, times: int) -> None:
        for _ in range(times):
            await harness.claim_one(TaskKind.RUN, "node/0")
            assert await harness.store.release_worker("node", crashed=True) == 1

    async def test_a_shard_is_quarantined_after_crashes_of_its_holders(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await self.crash(harness, 2)
        assert not await harness.store.quarantine_waits()
        await self.crash(harness, 1)
        assert await harness.store.quarantine_waits()
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL)) == []
        (task,) = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True))
        assert (task.crashes, task.suspect) == (QUARANTINE_AFTER_CRASHES, None)
        assert not await harness.store.quarantine_waits()

    async def test_other_shards_are_not_quarantined(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        assert await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True)) == []

    async def test_an_expired_lease_counts_as_a_crash(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        for crashes in range(QUARANTINE_AFTER_CRASHES):
            task = await harness.claim_one(TaskKind.RUN)
            assert task.crashes == crashes
            await harness.expire_lease(task)
        assert await harness.store.quarantine_waits()
        (task,) = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True))
        assert task.crashes == QUARANTINE_AFTER_CRASHES

    async def test_a_release_does_not_count_as_a_crash(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        for _ in range(QUARANTINE_AFTER_CRASHES):
            await harness.store.release(await harness.claim_one(TaskKind.RUN))
            await harness.claim_one(TaskKind.RUN, "node/0")
            await harness.store.release_worker("node", crashed=False)
        assert (await harness.claim_one(TaskKind.RUN)).crashes == 0

    async def test_a_recorded_line_resets_the_crashes(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await self.crash(harness, 2)
        task = await harness.claim_one(TaskKind.RUN, "node/0")
        await harness.store.record([ShardReport(task, None, done=False)])
        await harness.store.release(task)
        assert (await harness.claim_one(TaskKind.RUN)).crashes == 2
        await harness.store.release_worker("w1", crashed=False)
        task = await harness.claim_one(TaskKind.RUN, "node/0")
        await harness.store.record([ShardReport(task, segment(task), done=False)])
        await harness.store.release_worker("node", crashed=True)
        assert (await harness.claim_one(TaskKind.RUN)).crashes == 1

    async def test_recorded_lines_do_not_end_a_quarantine(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await self.crash(harness, QUARANTINE_AFTER_CRASHES)
        (task,) = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True))
        await harness.store.record([ShardReport(task, segment(task), done=False)])
        await harness.store.release(task)
        (again,) = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True))
        assert again.crashes == QUARANTINE_AFTER_CRASHES

    async def test_the_suspect_survives_a_crash_and_not_a_release(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        await self.crash(harness, QUARANTINE_AFTER_CRASHES)
        for crashed, expected in ((True, 7), (False, None)):
            (task,) = await harness.store.claim(ClaimRequest("node/0", RUN_KINDS, ttl_s=TTL, quarantined=True))
            await harness.store.mark_suspect(task, 7)
            await harness.store.release_worker("node", crashed=crashed)
            (task,) = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, quarantined=True))
            assert task.suspect == expected
            await harness.store.release(task)

    async def test_other_tasks_are_delayed_after_repeated_crashes(self, harness: StoreHarness) -> None:
        await harness.store.add_batch(a_batch())
        for _ in range(QUARANTINE_AFTER_CRASHES):
            await harness.claim_one(TaskKind.VALIDATE, "node/0")
            await harness.store.release_worker("node", crashed=True)
        assert await harness.store.claim(ClaimRequest("w1", [TaskKind.VALIDATE], ttl_s=TTL)) == []
        await harness.advance(3600)
        assert (await harness.claim_one(TaskKind.VALIDATE)).crashes == QUARANTINE_AFTER_CRASHES
