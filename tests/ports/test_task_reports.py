"""Behaviour of every TaskQueue: reports of workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchOutputs, ClaimRequest, ShardReport, TaskQueue
from batchwire_server.core.records import Batch, InputError, Task, TaskKind, Usage

from tests.ports.stores import RUN_KINDS, TTL, StoreHarness, a_batch, a_file, segment, shards

S = BatchStatus

Fenced = Callable[[TaskQueue, Task], Awaitable[object]]

FENCED: dict[str, tuple[TaskKind, Fenced]] = {
    "release": (TaskKind.RUN, lambda store, task: store.release(task)),
    "complete": (TaskKind.RUN, lambda store, task: store.complete(task)),
    "accept": (TaskKind.VALIDATE, lambda store, task: store.accept(task, "m", shards(2))),
    "reject": (TaskKind.VALIDATE, lambda store, task: store.reject(task, [InputError("c", "m")])),
    "expire": (TaskKind.EXPIRE, lambda store, task: store.expire(task)),
    "finish": (
        TaskKind.FINALIZE,
        lambda store, task: store.finish(task, S.COMPLETED, BatchOutputs(a_file(), None, 0), 60),
    ),
}


class TestFencing:
    async def leased(self, harness: StoreHarness, kind: TaskKind) -> tuple[Batch, Task]:
        """Return a batch and its task of a kind, leased by worker w1."""
        before = {TaskKind.VALIDATE: S.VALIDATING, TaskKind.RUN: S.IN_PROGRESS, TaskKind.FINALIZE: S.FINALIZING}
        batch, task = await harness.batch_in(before.get(kind, S.IN_PROGRESS))
        if kind is TaskKind.EXPIRE:
            await harness.advance(2 * 86400)
            task = await harness.claim_one(kind)
        assert task
        return batch, task

    @pytest.mark.parametrize("name", FENCED)
    @pytest.mark.parametrize("how", ["taken over", "taken over and given back", "given back", "of a wrong epoch"])
    async def test_a_report_after_a_lost_lease_changes_nothing(
        self, harness: StoreHarness, name: str, how: str
    ) -> None:
        kind, method = FENCED[name]
        batch, task = await self.leased(harness, kind)
        if how.startswith("taken over"):
            await harness.expire_lease(task)
            taken = await harness.claim_one(kind, "w2")
            assert taken.id == task.id
            if how.endswith("given back"):
                await harness.store.release(taken)
        elif how == "given back":
            await harness.store.release(task)
        else:
            task = replace(task, epoch=task.epoch + 1)
        before = await harness.stored_batch(batch), await harness.tasks(batch), await harness.stored_files()
        with pytest.raises(LeaseLostError):
            await method(harness.store, task)
        assert (await harness.stored_batch(batch), await harness.tasks(batch), await harness.stored_files()) == before

    @pytest.mark.parametrize("name", FENCED)
    async def test_the_holder_of_a_lease_can_report_once(self, harness: StoreHarness, name: str) -> None:
        kind, method = FENCED[name]
        _, task = await self.leased(harness, kind)
        await method(harness.store, task)
        with pytest.raises(LeaseLostError):
            await method(harness.store, task)

    @pytest.mark.parametrize("name", FENCED)
    async def test_an_expired_lease_that_was_not_taken_over_can_still_report(
        self, harness: StoreHarness, name: str
    ) -> None:
        kind, method = FENCED[name]
        _, task = await self.leased(harness, kind)
        await harness.expire_lease(task)
        await method(harness.store, task)

    @pytest.mark.parametrize("done", [False, True])
    async def test_nothing_is_recorded_of_a_lost_shard(self, harness: StoreHarness, done: bool) -> None:
        batch, task = await self.leased(harness, TaskKind.RUN)
        await harness.expire_lease(task)
        await harness.claim_one(TaskKind.RUN, "w2")
        before = await harness.stored_batch(batch), await harness.tasks(batch)
        assert await harness.store.record([ShardReport(task, segment(task), done=done)]) == {task}
        assert (await harness.stored_batch(batch), await harness.tasks(batch)) == before
        assert await harness.all_segments() == []

    async def test_a_validation_that_was_cancelled_changes_nothing(self, harness: StoreHarness) -> None:
        batch, task = await self.leased(harness, TaskKind.VALIDATE)
        await harness.store.cancel_batch("acme", batch.id)
        for attempt in (harness.store.accept(task, "m", shards(2)), harness.store.reject(task, [])):
            with pytest.raises(LeaseLostError):
                await attempt
        assert await harness.status(batch) is S.CANCELLING

    async def test_reading_the_batch_of_a_deleted_task_is_a_lost_lease(self, harness: StoreHarness) -> None:
        _, task = await self.leased(harness, TaskKind.VALIDATE)
        with pytest.raises(LeaseLostError):
            await harness.store.batch_of(replace(task, batch_id="batch_x"))


class TestRecording:
    async def counts(self, harness: StoreHarness, batch: Batch) -> tuple[int, int, int, Usage]:
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        return found.completed, found.failed, found.result_bytes, found.usage

    async def test_accepting_queues_the_shards_and_counts_the_lines(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=[*shards(2, "m", lines=7), *shards(1, "n", lines=5)])
        assert batch.status is S.IN_PROGRESS
        assert (batch.total, batch.open_shards, batch.model) == (19, 3, "m")
        assert batch.in_progress_at is not None
        tasks = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=9))
        assert [task.model for task in tasks] == ["m", "m", "n"]

    async def test_segments_add_to_the_counts_and_the_usage(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.record([ShardReport(task, segment(task, 0, completed=3, failed=1), done=False)])
        await harness.store.record([ShardReport(task, segment(task, 1, completed=2, failed=4, size=5), done=False)])
        assert await self.counts(harness, batch) == (5, 5, 25, Usage(2, 4, 6, 8, 10))
        recorded = await harness.store.segments_of(task)
        assert [one.blob_key for one in recorded] == [segment(task, 0).blob_key, segment(task, 1).blob_key]
        assert [one.start for one in recorded] == [0, 20]

    async def test_recording_the_same_segment_again_changes_nothing(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        report = ShardReport(task, segment(task, completed=3), done=False)
        for _ in range(3):
            assert await harness.store.record([report]) == set()
        assert await self.counts(harness, batch) == (3, 0, 20, Usage(1, 2, 3, 4, 5))
        assert len(await harness.store.segments_of(task)) == 1

    async def test_a_segment_may_be_recorded_again_together_with_the_end_of_its_shard(
        self, harness: StoreHarness
    ) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.record([ShardReport(task, segment(task, completed=3), done=False)])
        assert await harness.store.record([ShardReport(task, segment(task, completed=3), done=True)]) == set()
        assert await self.counts(harness, batch) == (3, 0, 20, Usage(1, 2, 3, 4, 5))
        assert await harness.status(batch) is S.FINALIZING

    async def test_a_done_shard_is_counted_once(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=shards(2))
        task = await harness.claim_one(TaskKind.RUN)
        report = ShardReport(task, segment(task), done=True)
        assert await harness.store.record([report]) == set()
        assert await harness.store.record([report]) == {task}
        found = await harness.store.get_batch("acme", batch.id)
        assert found
        assert (found.open_shards, found.completed, found.status) == (1, 1, S.IN_PROGRESS)

    async def test_the_last_shard_moves_the_batch_to_finalizing_once(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=shards(3))
        tasks = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await harness.store.record([ShardReport(task, segment(task), done=True) for task in tasks])
        assert await harness.status(batch) is S.FINALIZING
        assert len(await harness.tasks(batch, TaskKind.FINALIZE)) == 1

    async def test_a_lost_shard_does_not_prevent_recording_the_others(self, harness: StoreHarness) -> None:
        one, two = await harness.start_batch(parts=shards(2)), await harness.start_batch(a_batch("other"), shards(1))
        tasks = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await harness.expire_lease(tasks[0])
        await harness.claim_one(TaskKind.RUN, "w2")
        lost = await harness.store.record([ShardReport(task, segment(task), done=False) for task in tasks])
        assert lost == {tasks[0]}
        recorded = {one.task_id for one in await harness.all_segments()}
        assert recorded == {task.id for task in tasks[1:]}
        assert one.id != two.id

    async def test_concurrent_reports_lose_nothing(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch(parts=shards(12))
        tasks = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=12))
        await asyncio.gather(*(harness.store.record([ShardReport(task, segment(task), done=True)]) for task in tasks))
        assert (await self.counts(harness, batch))[:3] == (12, 0, 240)
        assert len(await harness.tasks(batch, TaskKind.FINALIZE)) == 1
        starts = [one.start for one in await harness.store.segments_from(batch.id, 0, 99)]
        assert starts == list(range(0, 240, 20))

    async def test_shards_are_returned_by_window_with_their_segments(self, harness: StoreHarness) -> None:
        first, second = shards(2)
        other = ("n", first[1])
        batch = await harness.start_batch(parts=[first, second, other])
        tasks = await harness.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await harness.store.record([ShardReport(tasks[2], segment(tasks[2]), done=True)])
        found = await harness.store.shards_of(batch.id)
        assert [(run.shard.window, run.model, len(run.segments)) for run in found] == [
            (0, "m", 0),
            (0, "n", 1),
            (1, "m", 0),
        ]

    async def test_the_largest_usage_is_recorded(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        big = replace(segment(task), usage=Usage(total_tokens=1 << 50))
        await harness.store.record([ShardReport(task, big, done=False)])
        assert (await self.counts(harness, batch))[3] == Usage(total_tokens=1 << 50)
