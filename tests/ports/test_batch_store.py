"""Behaviour of every BatchStore."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.ports import BatchOutputs, ClaimRequest, IdempotencyKey, ShardReport
from batchwire_server.core.records import InputError, TaskKind

from tests.ports.stores import OTHER_KINDS, TTL, StoreHarness, a_batch, a_file, segment, shards

S = BatchStatus


class TestBatches:
    async def test_a_stored_batch_is_returned_with_its_times(self, harness: StoreHarness) -> None:
        given = a_batch(input_key=None, output_lifetime=3600)
        stored = await harness.store.add_batch(given)
        assert stored.expires_at == stored.created_at + 86_400_000
        assert replace(stored, created_at=0, expires_at=0) == given
        assert await harness.store.get_batch("acme", given.id) == stored

    async def test_validation_is_due_at_once_and_expiry_at_the_end_of_the_window(self, harness: StoreHarness) -> None:
        batch = await harness.store.add_batch(a_batch())
        due = await harness.store.claim(ClaimRequest("w1", OTHER_KINDS, ttl_s=TTL, limit=10))
        assert [(task.kind, task.batch_id, task.deadline) for task in due] == [
            (TaskKind.VALIDATE, batch.id, batch.expires_at)
        ]

    async def test_concurrent_calls_with_one_idempotency_key_create_one_batch(self, harness: StoreHarness) -> None:
        once = IdempotencyKey("mine", "the same")
        made = await asyncio.gather(*(harness.store.add_batch(a_batch(), once) for _ in range(8)))
        assert len({batch.id for batch in made}) == 1
        with pytest.raises(BatchwireError):
            await harness.store.add_batch(a_batch(), IdempotencyKey("mine", "something else"))

    async def test_idempotency_keys_are_scoped_to_their_tenant(self, harness: StoreHarness) -> None:
        once = IdempotencyKey("mine", "the same")
        made = [await harness.store.add_batch(a_batch(tenant), once) for tenant in ("acme", "other")]
        assert [batch.tenant for batch in made] == ["acme", "other"]

    async def test_batches_per_hour_are_limited_in_a_rolling_window(self, harness: StoreHarness) -> None:
        await harness.freeze_clock()
        await harness.store.add_batch(a_batch(), per_hour=2)
        await harness.advance(1800)
        named = await harness.store.add_batch(a_batch(), IdempotencyKey("mine", "f"), per_hour=2)
        await harness.advance(1799)
        with pytest.raises(BatchwireError) as refused:
            await harness.store.add_batch(a_batch(), per_hour=2)
        assert refused.value.reason is Reason.RATE_LIMIT_EXCEEDED
        assert await harness.store.add_batch(a_batch(), IdempotencyKey("mine", "f"), per_hour=2) == named
        await harness.store.add_batch(a_batch("other"), per_hour=2)
        await harness.advance(1)
        await harness.store.add_batch(a_batch(), per_hour=2)
        with pytest.raises(BatchwireError):
            await harness.store.add_batch(a_batch(), per_hour=2)

    async def test_a_batch_is_found_by_its_tenants_idempotency_key(self, harness: StoreHarness) -> None:
        once = IdempotencyKey("mine", "the same")
        assert await harness.store.find_batch("acme", once) is None
        batch = await harness.store.add_batch(a_batch(), once)
        assert await harness.store.find_batch("acme", once) == batch
        assert await harness.store.find_batch("other", once) is None
        with pytest.raises(BatchwireError):
            await harness.store.find_batch("acme", IdempotencyKey("mine", "something else"))

    async def test_cancelling_and_accepting_a_batch_never_deadlock(self, harness: StoreHarness) -> None:
        for _ in range(10):
            batch = await harness.store.add_batch(a_batch())
            task = await harness.claim_one(TaskKind.VALIDATE)
            accepting = harness.store.accept(task, "m", shards(2))
            await asyncio.gather(accepting, harness.store.cancel_batch("acme", batch.id), return_exceptions=True)
            assert await harness.status(batch) is S.CANCELLING
            rows = await harness.tasks(batch)
            assert [row["kind"] for row in rows if row["state"] == "ready"].count(TaskKind.FINALIZE) == 1
            assert not [row for row in rows if row["state"] == "ready" and row["kind"] == TaskKind.RUN]

    async def test_a_batch_is_invisible_to_other_tenants(self, harness: StoreHarness) -> None:
        batch = await harness.store.add_batch(a_batch())
        assert await harness.store.get_batch("other", batch.id) is None
        await harness.store.cancel_batch("other", batch.id)
        assert await harness.status(batch) is S.VALIDATING
        found = await harness.store.list_batches("other", after="", limit=5)
        assert found
        assert found.items == []
        assert await harness.store.list_batches("other", after=batch.id, limit=5) is None

    async def test_pages_list_each_batch_once_newest_first_even_with_equal_times(self, harness: StoreHarness) -> None:
        await harness.freeze_clock()
        made = [await harness.store.add_batch(a_batch()) for _ in range(7)]
        seen: list[str] = []
        more = True
        while more:
            found = await harness.store.list_batches("acme", after=seen[-1] if seen else "", limit=2)
            assert found
            seen += [batch.id for batch in found.items]
            more = found.has_more
        assert seen == sorted((batch.id for batch in made), reverse=True)

    async def test_a_page_after_an_unknown_id_is_none(self, harness: StoreHarness) -> None:
        assert await harness.store.list_batches("acme", after="batch_x", limit=5) is None

    async def test_changed_batches_returns_only_those_whose_revision_differs(self, harness: StoreHarness) -> None:
        still, moved = await harness.store.add_batch(a_batch()), await harness.store.add_batch(a_batch())
        await harness.store.cancel_batch("acme", moved.id)
        told = await harness.store.changed_batches({still.id: still.revision, moved.id: moved.revision, "batch_x": 1})
        assert [(batch.id, batch.status) for batch in told] == [(moved.id, S.CANCELLING)]
        assert await harness.store.changed_batches({}) == []

    async def test_every_visible_change_raises_the_revision(self, harness: StoreHarness) -> None:
        batch = await harness.store.add_batch(a_batch())
        revisions = [batch.revision]

        async def note() -> None:
            found = await harness.store.get_batch("acme", batch.id)
            assert found
            revisions.append(found.revision)

        await harness.store.accept(await harness.claim_one(TaskKind.VALIDATE), "m", shards(1))
        await note()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.record([ShardReport(task, segment(task), done=False)])
        await note()
        await harness.store.record([ShardReport(task, segment(task, 1), done=True)])
        await note()
        await harness.store.finish(
            await harness.claim_one(TaskKind.FINALIZE), S.COMPLETED, BatchOutputs(None, None, 0), 9
        )
        await note()
        assert revisions == sorted(set(revisions))


class TestResults:
    async def test_segments_are_contiguous_in_the_order_of_recording(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=shards(2))
        first, second = await harness.store.claim(ClaimRequest("w1", [TaskKind.RUN], ttl_s=TTL, limit=2))
        await harness.store.record([ShardReport(second, segment(second, size=30), done=False)])
        await harness.store.record(
            [
                ShardReport(first, segment(first, size=50), done=False),
                ShardReport(second, segment(second, 1), done=False),
            ]
        )
        found = await harness.store.segments_from(batch.id, 0, 10)
        assert [(one.start, one.bytes) for one in found] == [(0, 30), (30, 50), (80, 20)]
        recorded = await harness.store.get_batch("acme", batch.id)
        assert recorded
        assert recorded.result_bytes == 100

    @pytest.mark.parametrize(("offset", "starts"), [(0, [0, 20]), (19, [0, 20]), (20, [20, 40]), (59, [40]), (60, [])])
    async def test_an_offset_finds_the_segments_at_or_after_it(
        self, harness: StoreHarness, offset: int, starts: list[int]
    ) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        for number in range(3):
            await harness.store.record([ShardReport(task, segment(task, number), done=False)])
        assert [one.start for one in await harness.store.segments_from(batch.id, offset, 2)] == starts


class TestCancelling:
    @pytest.mark.parametrize("status", [S.VALIDATING, S.IN_PROGRESS])
    async def test_a_batch_that_has_not_ended_can_be_cancelled(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        await harness.store.cancel_batch("acme", batch.id)
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.CANCELLING
        assert found.cancelling_at is not None

    @pytest.mark.parametrize("status", [*sorted(TERMINAL), S.FINALIZING, S.CANCELLING])
    async def test_cancelling_changes_no_batch_that_is_ending_or_has_ended(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        before = await harness.stored_batch(batch), await harness.tasks(batch)
        await harness.store.cancel_batch("acme", batch.id)
        assert (await harness.stored_batch(batch), await harness.tasks(batch)) == before

    async def test_cancelling_an_unknown_batch_has_no_effect(self, harness: StoreHarness) -> None:
        await harness.store.cancel_batch("acme", "batch_x")

    async def test_cancelling_a_validating_batch_queues_its_finalizing_at_once(self, harness: StoreHarness) -> None:
        batch, validating = await harness.batch_in(S.VALIDATING)
        await harness.store.cancel_batch("acme", batch.id)
        finalize = await harness.claim_one(TaskKind.FINALIZE)
        assert finalize.batch_id == batch.id
        assert validating
        assert await harness.store.claim(ClaimRequest("w2", [TaskKind.VALIDATE], ttl_s=TTL)) == []

    async def test_cancelling_drops_ready_shards_and_leaves_leased_ones_to_their_worker(
        self, harness: StoreHarness
    ) -> None:
        batch = await harness.start_batch(parts=shards(5))
        first, second = await harness.store.claim(ClaimRequest("w1", [TaskKind.RUN], ttl_s=TTL, limit=2))
        await harness.store.cancel_batch("acme", batch.id)
        assert await harness.store.claim(ClaimRequest("w2", [TaskKind.RUN], ttl_s=TTL, limit=9)) == []
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert found.open_shards == 2
        assert await harness.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL)) == []
        await harness.store.record([ShardReport(first, segment(first), done=True)])
        assert await harness.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL)) == []
        await harness.store.record([ShardReport(second, None, done=True)])
        assert len(await harness.store.claim(ClaimRequest("w2", [TaskKind.FINALIZE], ttl_s=TTL))) == 1
        assert await harness.status(batch) is S.CANCELLING

    async def test_a_cancelled_batchs_expired_shard_is_taken_over_so_that_the_batch_can_end(
        self, harness: StoreHarness
    ) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.cancel_batch("acme", batch.id)
        await harness.expire_lease(task)
        again = await harness.claim_one(TaskKind.RUN, "w2")
        await harness.store.record([ShardReport(again, None, done=True)])
        assert (await harness.claim_one(TaskKind.FINALIZE)).batch_id == batch.id

    async def test_cancelling_a_batch_without_leased_shards_queues_its_finalizing_at_once(
        self, harness: StoreHarness
    ) -> None:
        batch = await harness.start_batch(parts=shards(3))
        await harness.store.cancel_batch("acme", batch.id)
        assert (await harness.claim_one(TaskKind.FINALIZE)).batch_id == batch.id
        assert len(await harness.tasks(batch, TaskKind.FINALIZE)) == 1


class TestExpiring:
    async def expire(self, harness: StoreHarness) -> None:
        await harness.advance(2 * 86400)
        await harness.store.expire(await harness.claim_one(TaskKind.EXPIRE, "w9"))

    @pytest.mark.parametrize("status", [S.VALIDATING, S.IN_PROGRESS])
    async def test_a_batch_whose_window_ends_is_finalized(self, harness: StoreHarness, status: BatchStatus) -> None:
        batch, _ = await harness.batch_in(status)
        await self.expire(harness)
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.FINALIZING
        assert found.finalizing_at is not None

    @pytest.mark.parametrize("status", [S.CANCELLING, S.FINALIZING])
    async def test_expiry_does_not_change_a_batch_that_is_already_ending(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        before = await harness.stored_batch(batch)
        await self.expire(harness)
        assert await harness.stored_batch(batch) == before

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_an_ended_batch_has_no_expire_task(self, harness: StoreHarness, status: BatchStatus) -> None:
        batch, _ = await harness.batch_in(status)
        assert await harness.tasks(batch) == []

    async def test_expiry_is_not_due_before_the_window_ends(self, harness: StoreHarness) -> None:
        await harness.start_batch()
        assert await harness.store.claim(ClaimRequest("w1", [TaskKind.EXPIRE], ttl_s=TTL)) == []

    async def test_expiry_while_validating_drops_the_validation_and_queues_one_finalizing(
        self, harness: StoreHarness
    ) -> None:
        batch, validating = await harness.batch_in(S.VALIDATING)
        assert validating
        await self.expire(harness)
        assert len(await harness.tasks(batch, TaskKind.FINALIZE)) == 1
        assert await harness.store.held("w1") == []

    async def test_finalizing_is_queued_once_after_the_last_leased_shard(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=shards(3))
        task = await harness.claim_one(TaskKind.RUN)
        await self.expire(harness)
        assert await harness.tasks(batch, TaskKind.FINALIZE) == []
        await harness.store.record([ShardReport(task, segment(task), done=True)])
        assert len(await harness.tasks(batch, TaskKind.FINALIZE)) == 1
        assert await harness.status(batch) is S.FINALIZING


class TestEnding:
    async def test_a_rejected_batch_has_failed_with_its_errors_and_zero_counts(self, harness: StoreHarness) -> None:
        batch = await harness.store.add_batch(a_batch())
        errors = [InputError("a", "ü", "p", 3), InputError("b", "m")]
        await harness.store.reject(await harness.claim_one(TaskKind.VALIDATE), errors)
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert found.status is S.FAILED
        assert found.failed_at is not None
        assert found.in_progress_at is None
        assert found.errors == tuple(errors)
        assert (found.total, found.completed, found.failed) == (0, 0, 0)

    async def test_files_and_terminal_status_appear_in_one_transaction(self, harness: StoreHarness) -> None:
        batch, task = await harness.batch_in(S.FINALIZING)
        assert task
        output, error = a_file(purpose="batch_output"), a_file(purpose="batch_output")
        await harness.store.finish(task, S.EXPIRED, BatchOutputs(output, error, 4), 60)
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert (found.status, found.output_file_id, found.error_file_id) == (S.EXPIRED, output.id, error.id)
        assert found.failed == 4
        assert found.expired_at is not None
        for file in (output, error):
            stored = await harness.store.get_file("acme", file.id)
            assert stored
            assert stored.expires_at == stored.created_at + 60_000

    async def test_a_batch_cannot_skip_a_status(self, harness: StoreHarness) -> None:
        batch, task = await harness.batch_in(S.FINALIZING)
        assert task
        with pytest.raises(Exception):  # noqa: B017 - the kind of error does not matter
            await harness.store.finish(task, S.CANCELLED, BatchOutputs(None, None, 0), 60)
        assert await harness.status(batch) is S.FINALIZING
        assert [held.id for held in await harness.store.held("w1")] == [task.id]
