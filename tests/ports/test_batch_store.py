"""What every BatchStore does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.ports import BatchOutputs, ClaimRequest, IdempotencyKey, ShardReport
from batchwire_server.core.records import InputError, TaskKind

from tests.ports.stores import OTHER_KINDS, TTL, Stage, a_batch, a_file, segment, shards

S = BatchStatus


class TestBatches:
    async def test_a_batch_comes_back_as_it_was_stored_with_its_times(self, stage: Stage) -> None:
        given = a_batch(input_key=None, output_lifetime=3600)
        stored = await stage.store.add_batch(given)
        assert stored.expires_at == stored.created_at + 86_400_000
        assert replace(stored, created_at=0, expires_at=0) == given
        assert await stage.store.get_batch("acme", given.id) == stored

    async def test_its_input_is_validated_at_once_and_its_end_waits_for_its_time(self, stage: Stage) -> None:
        batch = await stage.store.add_batch(a_batch())
        due = await stage.store.claim(ClaimRequest("w1", OTHER_KINDS, ttl_s=TTL, limit=10))
        assert [(task.kind, task.batch_id, task.deadline) for task in due] == [
            (TaskKind.VALIDATE, batch.id, batch.expires_at)
        ]

    async def test_calls_of_one_name_that_come_at_once_create_one_batch(self, stage: Stage) -> None:
        once = IdempotencyKey("mine", "the same")
        made = await asyncio.gather(*(stage.store.add_batch(a_batch(), once) for _ in range(8)))
        assert len({batch.id for batch in made}) == 1
        with pytest.raises(BatchwireError):
            await stage.store.add_batch(a_batch(), IdempotencyKey("mine", "something else"))

    async def test_names_of_calls_are_each_tenants_own(self, stage: Stage) -> None:
        once = IdempotencyKey("mine", "the same")
        made = [await stage.store.add_batch(a_batch(tenant), once) for tenant in ("acme", "other")]
        assert [batch.tenant for batch in made] == ["acme", "other"]

    async def test_a_tenant_whose_hour_is_full_waits_for_its_oldest_batch_to_be_an_hour_old(self, stage: Stage) -> None:
        await stage.stop_the_clock()
        await stage.store.add_batch(a_batch(), per_hour=2)
        await stage.advance(1800)
        named = await stage.store.add_batch(a_batch(), IdempotencyKey("mine", "f"), per_hour=2)
        await stage.advance(1799)
        with pytest.raises(BatchwireError) as refused:
            await stage.store.add_batch(a_batch(), per_hour=2)
        assert refused.value.reason is Reason.RATE_LIMIT_EXCEEDED
        assert await stage.store.add_batch(a_batch(), IdempotencyKey("mine", "f"), per_hour=2) == named
        await stage.store.add_batch(a_batch("other"), per_hour=2)
        await stage.advance(1)
        await stage.store.add_batch(a_batch(), per_hour=2)
        with pytest.raises(BatchwireError):
            await stage.store.add_batch(a_batch(), per_hour=2)

    async def test_it_is_found_by_the_key_of_its_tenants_call(self, stage: Stage) -> None:
        once = IdempotencyKey("mine", "the same")
        assert await stage.store.find_batch("acme", once) is None
        batch = await stage.store.add_batch(a_batch(), once)
        assert await stage.store.find_batch("acme", once) == batch
        assert await stage.store.find_batch("other", once) is None
        with pytest.raises(BatchwireError):
            await stage.store.find_batch("acme", IdempotencyKey("mine", "something else"))

    async def test_a_cancel_and_the_end_of_validation_never_wait_for_each_other(self, stage: Stage) -> None:
        for _ in range(10):
            batch = await stage.store.add_batch(a_batch())
            task = await stage.claim_one(TaskKind.VALIDATE)
            accepting = stage.store.accept(task, "m", shards(2))
            await asyncio.gather(accepting, stage.store.cancel_batch("acme", batch.id), return_exceptions=True)
            assert await stage.status(batch) is S.CANCELLING
            rows = await stage.tasks(batch)
            assert [row["kind"] for row in rows if row["state"] == "ready"].count(TaskKind.FINALIZE) == 1
            assert not [row for row in rows if row["state"] == "ready" and row["kind"] == TaskKind.RUN]

    async def test_nobody_sees_another_tenants_batch(self, stage: Stage) -> None:
        batch = await stage.store.add_batch(a_batch())
        assert await stage.store.get_batch("other", batch.id) is None
        await stage.store.cancel_batch("other", batch.id)
        assert await stage.status(batch) is S.VALIDATING
        found = await stage.store.list_batches("other", after="", limit=5)
        assert found
        assert found.items == []
        assert await stage.store.list_batches("other", after=batch.id, limit=5) is None

    async def test_pages_hold_every_batch_once_newest_first_even_of_one_instant(self, stage: Stage) -> None:
        await stage.stop_the_clock()
        made = [await stage.store.add_batch(a_batch()) for _ in range(7)]
        seen: list[str] = []
        more = True
        while more:
            found = await stage.store.list_batches("acme", after=seen[-1] if seen else "", limit=2)
            assert found
            seen += [batch.id for batch in found.items]
            more = found.has_more
        assert seen == sorted((batch.id for batch in made), reverse=True)

    async def test_an_unknown_place_has_no_page(self, stage: Stage) -> None:
        assert await stage.store.list_batches("acme", after="batch_x", limit=5) is None

    async def test_only_batches_that_changed_are_told(self, stage: Stage) -> None:
        still, moved = await stage.store.add_batch(a_batch()), await stage.store.add_batch(a_batch())
        await stage.store.cancel_batch("acme", moved.id)
        told = await stage.store.changed_batches({still.id: still.revision, moved.id: moved.revision, "batch_x": 1})
        assert [(batch.id, batch.status) for batch in told] == [(moved.id, S.CANCELLING)]
        assert await stage.store.changed_batches({}) == []

    async def test_every_change_that_a_caller_can_see_raises_the_revision(self, stage: Stage) -> None:
        batch = await stage.store.add_batch(a_batch())
        revisions = [batch.revision]

        async def note() -> None:
            found = await stage.store.get_batch("acme", batch.id)
            assert found
            revisions.append(found.revision)

        await stage.store.accept(await stage.claim_one(TaskKind.VALIDATE), "m", shards(1))
        await note()
        task = await stage.claim_one(TaskKind.RUN)
        await stage.store.record([ShardReport(task, segment(task), done=False)])
        await note()
        await stage.store.record([ShardReport(task, segment(task, 1), done=True)])
        await note()
        await stage.store.finish(await stage.claim_one(TaskKind.FINALIZE), S.COMPLETED, BatchOutputs(None, None, 0), 9)
        await note()
        assert revisions == sorted(set(revisions))


class TestResults:
    async def test_segments_stand_one_after_the_other_in_the_order_of_their_recording(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(2))
        first, second = await stage.store.claim(ClaimRequest("w1", [TaskKind.RUN], ttl_s=TTL, limit=2))
        await stage.store.record([ShardReport(second, segment(second, size=30), done=False)])
        await stage.store.record(
            [
                ShardReport(first, segment(first, size=50), done=False),
                ShardReport(second, segment(second, 1), done=False),
            ]
        )
        found = await stage.store.segments_from(batch.id, 0, 10)
        assert [(one.start, one.bytes) for one in found] == [(0, 30), (30, 50), (80, 20)]
        recorded = await stage.store.get_batch("acme", batch.id)
        assert recorded
        assert recorded.result_bytes == 100

    @pytest.mark.parametrize(("offset", "starts"), [(0, [0, 20]), (19, [0, 20]), (20, [20, 40]), (59, [40]), (60, [])])
    async def test_an_offset_finds_the_segments_at_or_after_it(
        self, stage: Stage, offset: int, starts: list[int]
    ) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        for number in range(3):
            await stage.store.record([ShardReport(task, segment(task, number), done=False)])
        assert [one.start for one in await stage.store.segments_from(batch.id, offset, 2)] == starts


class TestCancelling:
    @pytest.mark.parametrize("status", [S.VALIDATING, S.IN_PROGRESS])
    async def test_a_live_batch_is_cancelled(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        await stage.store.cancel_batch("acme", batch.id)
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.CANCELLING
        assert found.cancelling_at is not None

    @pytest.mark.parametrize("status", [*sorted(TERMINAL), S.FINALIZING, S.CANCELLING])
    async def test_any_other_batch_stays_as_it_is(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        before = await stage.kept_of(batch), await stage.tasks(batch)
        await stage.store.cancel_batch("acme", batch.id)
        assert (await stage.kept_of(batch), await stage.tasks(batch)) == before

    async def test_nothing_happens_to_a_batch_that_does_not_exist(self, stage: Stage) -> None:
        await stage.store.cancel_batch("acme", "batch_x")

    async def test_while_validating_it_goes_straight_to_its_end(self, stage: Stage) -> None:
        batch, validating = await stage.at(S.VALIDATING)
        await stage.store.cancel_batch("acme", batch.id)
        finalize = await stage.claim_one(TaskKind.FINALIZE)
        assert finalize.batch_id == batch.id
        assert validating
        assert await stage.store.claim(ClaimRequest("w2", [TaskKind.VALIDATE], ttl_s=TTL)) == []

    async def test_shards_that_have_not_started_are_dropped_and_those_at_work_left_to_their_worker(
        self, stage: Stage
    ) -> None:
        batch = await stage.started(parts=shards(5))
        first, second = await stage.store.claim(ClaimRequest("w1", [TaskKind.RUN], ttl_s=TTL, limit=2))
        await stage.store.cancel_batch("acme", batch.id)
        assert await stage.store.claim(ClaimRequest("w2", [TaskKind.RUN], ttl_s=TTL, limit=9)) == []
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert found.open_shards == 2
        assert await stage.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL)) == []
        await stage.store.record([ShardReport(first, segment(first), done=True)])
        assert await stage.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL)) == []
        await stage.store.record([ShardReport(second, None, done=True)])
        assert len(await stage.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL))) == 1
        assert await stage.status(batch) is S.CANCELLING

    async def test_a_shard_of_a_dead_worker_is_taken_over_so_that_the_batch_can_end(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        await stage.store.cancel_batch("acme", batch.id)
        await stage.let_lease_lapse(task)
        again = await stage.claim_one(TaskKind.RUN, "w2")
        await stage.store.record([ShardReport(again, None, done=True)])
        assert (await stage.claim_one(TaskKind.FINALIZE)).batch_id == batch.id

    async def test_a_batch_that_nothing_runs_of_goes_straight_to_its_end(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(3))
        await stage.store.cancel_batch("acme", batch.id)
        assert (await stage.claim_one(TaskKind.FINALIZE)).batch_id == batch.id
        assert len(await stage.tasks(batch, TaskKind.FINALIZE)) == 1


class TestExpiring:
    async def expire(self, stage: Stage) -> None:
        await stage.advance(2 * 86400)
        await stage.store.expire(await stage.claim_one(TaskKind.EXPIRE, "w9"))

    @pytest.mark.parametrize("status", [S.VALIDATING, S.IN_PROGRESS])
    async def test_a_live_batch_is_finalized(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        await self.expire(stage)
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.FINALIZING
        assert found.finalizing_at is not None

    @pytest.mark.parametrize("status", [S.CANCELLING, S.FINALIZING])
    async def test_a_batch_that_is_ending_already_ends_as_it_was_going_to(
        self, stage: Stage, status: BatchStatus
    ) -> None:
        batch, _ = await stage.at(status)
        before = await stage.kept_of(batch)
        await self.expire(stage)
        assert await stage.kept_of(batch) == before

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_a_batch_that_has_ended_has_nothing_left_to_expire(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        assert await stage.tasks(batch) == []

    async def test_it_is_not_due_before_its_time(self, stage: Stage) -> None:
        await stage.started()
        assert await stage.store.claim(ClaimRequest("w1", [TaskKind.EXPIRE], ttl_s=TTL)) == []

    async def test_while_validating_the_validation_is_dropped_and_the_end_queued_once(self, stage: Stage) -> None:
        batch, validating = await stage.at(S.VALIDATING)
        assert validating
        await self.expire(stage)
        assert len(await stage.tasks(batch, TaskKind.FINALIZE)) == 1
        assert await stage.store.held("w1") == []

    async def test_the_end_waits_for_shards_at_work_and_comes_once(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(3))
        task = await stage.claim_one(TaskKind.RUN)
        await self.expire(stage)
        assert await stage.tasks(batch, TaskKind.FINALIZE) == []
        await stage.store.record([ShardReport(task, segment(task), done=True)])
        assert len(await stage.tasks(batch, TaskKind.FINALIZE)) == 1
        assert await stage.status(batch) is S.FINALIZING


class TestEnding:
    async def test_a_rejected_batch_has_failed_with_its_faults_and_counts_nothing(self, stage: Stage) -> None:
        batch = await stage.store.add_batch(a_batch())
        faults = [InputError("a", "ü", "p", 3), InputError("b", "m")]
        await stage.store.reject(await stage.claim_one(TaskKind.VALIDATE), faults)
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.FAILED
        assert found.failed_at is not None
        assert found.in_progress_at is None
        assert found.errors == tuple(faults)
        assert (found.total, found.completed, found.failed) == (0, 0, 0)

    async def test_the_files_and_the_last_state_appear_in_one_step(self, stage: Stage) -> None:
        batch, task = await stage.at(S.FINALIZING)
        assert task
        output, error = a_file(purpose="batch_output"), a_file(purpose="batch_output")
        await stage.store.finish(task, S.EXPIRED, BatchOutputs(output, error, 4), 60)
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert (found.status, found.output_file_id, found.error_file_id) == (S.EXPIRED, output.id, error.id)
        assert found.failed == 4
        assert found.expired_at is not None
        for file in (output, error):
            stored = await stage.store.get_file("acme", file.id)
            assert stored
            assert stored.expires_at == stored.created_at + 60_000

    async def test_a_batch_cannot_end_in_a_state_that_does_not_follow(self, stage: Stage) -> None:
        batch, task = await stage.at(S.FINALIZING)
        assert task
        with pytest.raises(Exception):  # noqa: B017 - what matters is that nothing of it stays
            await stage.store.finish(task, S.CANCELLED, BatchOutputs(None, None, 0), 60)
        assert await stage.status(batch) is S.FINALIZING
        assert [held.id for held in await stage.store.held("w1")] == [task.id]
