"""What every TaskQueue does with what workers report: fenced, recorded, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import BatchOutputs, ClaimRequest, ShardReport, TaskQueue
from batchwire_server.core.records import Batch, InputError, Task, TaskKind, Usage

from tests.ports.stores import RUN_KINDS, TTL, Stage, a_batch, a_file, segment, shards

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
    async def leased(self, stage: Stage, kind: TaskKind) -> tuple[Batch, Task]:
        """Returns a batch, and a task of a kind that the worker w1 holds."""
        before = {TaskKind.VALIDATE: S.VALIDATING, TaskKind.RUN: S.IN_PROGRESS, TaskKind.FINALIZE: S.FINALIZING}
        batch, task = await stage.at(before.get(kind, S.IN_PROGRESS))
        if kind is TaskKind.EXPIRE:
            await stage.advance(2 * 86400)
            task = await stage.claim_one(kind)
        assert task
        return batch, task

    @pytest.mark.parametrize("name", FENCED)
    @pytest.mark.parametrize("how", ["taken over", "taken over and given back", "given back", "of a wrong epoch"])
    async def test_whoever_lost_a_lease_changes_nothing(self, stage: Stage, name: str, how: str) -> None:
        kind, method = FENCED[name]
        batch, task = await self.leased(stage, kind)
        if how.startswith("taken over"):
            await stage.let_lease_lapse(task)
            taken = await stage.claim_one(kind, "w2")
            assert taken.id == task.id
            if how.endswith("given back"):
                await stage.store.release(taken)
        elif how == "given back":
            await stage.store.release(task)
        else:
            task = replace(task, epoch=task.epoch + 1)
        before = await stage.kept_of(batch), await stage.tasks(batch), await stage.kept_files()
        with pytest.raises(LeaseLostError):
            await method(stage.store, task)
        assert (await stage.kept_of(batch), await stage.tasks(batch), await stage.kept_files()) == before

    @pytest.mark.parametrize("name", FENCED)
    async def test_whoever_holds_the_lease_may_once(self, stage: Stage, name: str) -> None:
        kind, method = FENCED[name]
        _, task = await self.leased(stage, kind)
        await method(stage.store, task)
        with pytest.raises(LeaseLostError):
            await method(stage.store, task)

    @pytest.mark.parametrize("name", FENCED)
    async def test_a_lease_that_ran_out_but_that_nobody_took_still_holds(self, stage: Stage, name: str) -> None:
        kind, method = FENCED[name]
        _, task = await self.leased(stage, kind)
        await stage.let_lease_lapse(task)
        await method(stage.store, task)

    @pytest.mark.parametrize("done", [False, True])
    async def test_of_a_lost_shard_nothing_is_recorded(self, stage: Stage, done: bool) -> None:
        batch, task = await self.leased(stage, TaskKind.RUN)
        await stage.let_lease_lapse(task)
        await stage.claim_one(TaskKind.RUN, "w2")
        before = await stage.kept_of(batch), await stage.tasks(batch)
        assert await stage.store.record([ShardReport(task, segment(task), done=done)]) == {task}
        assert (await stage.kept_of(batch), await stage.tasks(batch)) == before
        assert await stage.all_segments() == []

    async def test_a_validation_that_was_cancelled_changes_nothing(self, stage: Stage) -> None:
        batch, task = await self.leased(stage, TaskKind.VALIDATE)
        await stage.store.cancel_batch("acme", batch.id)
        for attempt in (stage.store.accept(task, "m", shards(2)), stage.store.reject(task, [])):
            with pytest.raises(LeaseLostError):
                await attempt
        assert await stage.status(batch) is S.CANCELLING

    async def test_the_batch_of_a_task_that_is_gone_is_a_lost_lease(self, stage: Stage) -> None:
        _, task = await self.leased(stage, TaskKind.VALIDATE)
        with pytest.raises(LeaseLostError):
            await stage.store.batch_of(replace(task, batch_id="batch_x"))


class TestRecording:
    async def counts(self, stage: Stage, batch: Batch) -> tuple[int, int, int, Usage]:
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        return found.completed, found.failed, found.result_bytes, found.usage

    async def test_accepting_queues_the_shards_and_counts_the_lines(self, stage: Stage) -> None:
        batch = await stage.started(parts=[*shards(2, "m", lines=7), *shards(1, "n", lines=5)])
        assert batch.status is S.IN_PROGRESS
        assert (batch.total, batch.open_shards, batch.model) == (19, 3, "m")
        assert batch.in_progress_at is not None
        tasks = await stage.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=9))
        assert [task.model for task in tasks] == ["m", "m", "n"]

    async def test_segments_add_to_the_counts_and_the_usage(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        await stage.store.record([ShardReport(task, segment(task, 0, completed=3, failed=1), done=False)])
        await stage.store.record([ShardReport(task, segment(task, 1, completed=2, failed=4, size=5), done=False)])
        assert await self.counts(stage, batch) == (5, 5, 25, Usage(2, 4, 6, 8, 10))
        recorded = await stage.store.segments_of(task)
        assert [one.blob_key for one in recorded] == [segment(task, 0).blob_key, segment(task, 1).blob_key]
        assert [one.start for one in recorded] == [0, 20]

    async def test_recording_the_same_segment_again_changes_nothing(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        report = ShardReport(task, segment(task, completed=3), done=False)
        for _ in range(3):
            assert await stage.store.record([report]) == set()
        assert await self.counts(stage, batch) == (3, 0, 20, Usage(1, 2, 3, 4, 5))
        assert len(await stage.store.segments_of(task)) == 1

    async def test_the_same_segment_may_come_again_with_the_word_that_the_shard_is_done(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        await stage.store.record([ShardReport(task, segment(task, completed=3), done=False)])
        assert await stage.store.record([ShardReport(task, segment(task, completed=3), done=True)]) == set()
        assert await self.counts(stage, batch) == (3, 0, 20, Usage(1, 2, 3, 4, 5))
        assert await stage.status(batch) is S.FINALIZING

    async def test_a_shard_that_is_done_counts_down_once(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(2))
        task = await stage.claim_one(TaskKind.RUN)
        report = ShardReport(task, segment(task), done=True)
        assert await stage.store.record([report]) == set()
        assert await stage.store.record([report]) == {task}
        found = await stage.store.get_batch("acme", batch.id)
        assert found
        assert (found.open_shards, found.completed, found.status) == (1, 1, S.IN_PROGRESS)

    async def test_the_last_shard_takes_the_batch_to_its_finalizing_once(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(3))
        tasks = await stage.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await stage.store.record([ShardReport(task, segment(task), done=True) for task in tasks])
        assert await stage.status(batch) is S.FINALIZING
        assert len(await stage.tasks(batch, TaskKind.FINALIZE)) == 1

    async def test_one_lost_shard_does_not_keep_the_others_from_being_recorded(self, stage: Stage) -> None:
        one, two = await stage.started(parts=shards(2)), await stage.started(a_batch("other"), shards(1))
        tasks = await stage.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await stage.let_lease_lapse(tasks[0])
        await stage.claim_one(TaskKind.RUN, "w2")
        lost = await stage.store.record([ShardReport(task, segment(task), done=False) for task in tasks])
        assert lost == {tasks[0]}
        recorded = {one.task_id for one in await stage.all_segments()}
        assert recorded == {task.id for task in tasks[1:]}
        assert one.id != two.id

    async def test_many_workers_record_at_once_and_nothing_is_lost(self, stage: Stage) -> None:
        batch = await stage.started(parts=shards(12))
        tasks = await stage.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=12))
        await asyncio.gather(*(stage.store.record([ShardReport(task, segment(task), done=True)]) for task in tasks))
        assert (await self.counts(stage, batch))[:3] == (12, 0, 240)
        assert len(await stage.tasks(batch, TaskKind.FINALIZE)) == 1
        starts = [one.start for one in await stage.store.segments_from(batch.id, 0, 99)]
        assert starts == list(range(0, 240, 20))

    async def test_shards_come_back_by_window_with_their_segments(self, stage: Stage) -> None:
        first, second = shards(2)
        other = ("n", first[1])
        batch = await stage.started(parts=[first, second, other])
        tasks = await stage.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=3))
        await stage.store.record([ShardReport(tasks[2], segment(tasks[2]), done=True)])
        found = await stage.store.shards_of(batch.id)
        assert [(run.shard.window, run.model, len(run.segments)) for run in found] == [
            (0, "m", 0),
            (0, "n", 1),
            (1, "m", 0),
        ]

    async def test_usage_as_large_as_a_column_is_recorded(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        big = replace(segment(task), usage=Usage(total_tokens=1 << 50))
        await stage.store.record([ShardReport(task, big, done=False)])
        assert (await self.counts(stage, batch))[3] == Usage(total_tokens=1 << 50)
