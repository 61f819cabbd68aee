"""What every GarbageStore does."""

from __future__ import annotations

import pytest
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.ports import BatchOutputs, Garbage, IdempotencyKey, ShardReport
from batchwire_server.core.records import TaskKind, UploadPart

from tests.ports.stores import Stage, a_batch, a_file, an_upload, segment

NOTHING = Garbage({}, [], [])


async def garbage(stage: Stage, limit: int = 100, result_lifetime: int = 0) -> Garbage:
    return await stage.store.garbage(limit, result_lifetime)


class TestFiles:
    async def test_a_live_file_is_no_garbage(self, stage: Stage) -> None:
        await stage.store.add_file(a_file(), None)
        await stage.store.add_file(a_file(), 60)
        assert await garbage(stage) == NOTHING

    async def test_deleted_and_expired_files_are_until_they_are_forgotten(self, stage: Stage) -> None:
        deleted = await stage.store.add_file(a_file(), None)
        await stage.store.delete_file("acme", deleted.id)
        expired = await stage.store.add_file(a_file(), 60)
        await stage.advance(61)
        found = await garbage(stage)
        assert found == Garbage({deleted.id: deleted.blob_key, expired.id: expired.blob_key}, [], [])
        await stage.store.forget(found)
        assert await garbage(stage) == NOTHING

    @pytest.mark.parametrize("status", sorted(set(BatchStatus) - TERMINAL))
    async def test_a_deleted_file_that_a_live_batch_reads_is_kept(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        file = await stage.store.add_file(a_file(blob_key=batch.input_key), None)
        await stage.store.delete_file("acme", file.id)
        assert await stage.store.get_file("acme", file.id) is None
        assert await garbage(stage) == NOTHING

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_it_goes_once_the_batch_has_ended(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        file = await stage.store.add_file(a_file(blob_key=batch.input_key), None)
        await stage.store.delete_file("acme", file.id)
        assert list((await garbage(stage)).files) == [file.id]

    async def test_the_newest_files_that_are_needed_are_known_by_their_keys(self, stage: Stage) -> None:
        assert await stage.store.newest_needed(5) == []
        batch, _ = await stage.at(BatchStatus.IN_PROGRESS)
        read = await stage.store.add_file(a_file(blob_key=batch.input_key), None)
        await stage.store.delete_file("acme", read.id)
        for lifetime, deleted in ((60, False), (None, True)):
            file = await stage.store.add_file(a_file(), lifetime)
            if deleted:
                await stage.store.delete_file("acme", file.id)
        await stage.advance(61)
        live = await stage.store.add_file(a_file("other"), None)
        assert await stage.store.newest_needed(5) == [live.blob_key, read.blob_key]
        assert await stage.store.newest_needed(1) == [live.blob_key]

    async def test_one_live_reader_among_ended_ones_keeps_it(self, stage: Stage) -> None:
        ended, _ = await stage.at(BatchStatus.COMPLETED)
        await stage.store.add_batch(a_batch(input_key=ended.input_key))
        file = await stage.store.add_file(a_file(blob_key=ended.input_key), None)
        await stage.store.delete_file("acme", file.id)
        assert await garbage(stage) == NOTHING

    async def test_no_more_than_asked_comes_at_once(self, stage: Stage) -> None:
        for _ in range(5):
            await stage.store.delete_file("acme", (await stage.store.add_file(a_file(), None)).id)
        assert len((await garbage(stage, limit=2)).files) == 2


class TestUploads:
    async def test_parts_of_a_pending_upload_are_no_garbage(self, stage: Stage) -> None:
        upload = await stage.store.add_upload(an_upload(), 60)
        await stage.store.add_part(UploadPart("part_1", upload.id, 1, "k"))
        assert await garbage(stage) == NOTHING

    @pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
    async def test_parts_of_an_upload_that_has_ended_are_until_they_are_forgotten(self, stage: Stage, end: str) -> None:
        upload = await stage.store.add_upload(an_upload(), 60)
        for number in range(2):
            await stage.store.add_part(UploadPart(f"part_{number}", upload.id, 1, f"k{number}"))
        if end == "completed":
            await stage.store.complete_upload(upload, a_file(), None)
        elif end == "cancelled":
            await stage.store.cancel_upload("acme", upload.id)
        else:
            await stage.advance(61)
        found = await garbage(stage)
        assert found == Garbage({}, [upload.id], [])
        await stage.store.forget(found)
        assert await garbage(stage) == NOTHING
        assert await stage.store.get_parts(upload.id) == []

    async def test_parts_of_an_upload_that_is_gone_are_garbage(self, stage: Stage) -> None:
        await stage.store.add_part(UploadPart("part_1", "upload_1", 1, "k"))
        found = await garbage(stage)
        assert found == Garbage({}, ["upload_1"], [])
        await stage.store.forget(found)
        assert await garbage(stage) == NOTHING


class TestSegments:
    @pytest.mark.parametrize("status", [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED])
    async def test_results_of_an_ended_batch_stay_for_their_lifetime(self, stage: Stage, status: BatchStatus) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        if status is BatchStatus.CANCELLED:
            await stage.store.cancel_batch("acme", batch.id)
        await stage.store.record([ShardReport(task, segment(task), done=True)])
        assert await garbage(stage) == NOTHING
        finalize = await stage.claim_one(TaskKind.FINALIZE)
        await stage.store.finish(finalize, status, BatchOutputs(None, None, 0), 60)
        assert await garbage(stage, result_lifetime=60) == NOTHING
        await stage.advance(61)
        found = await garbage(stage, result_lifetime=60)
        assert found == Garbage({}, [], [batch.id])
        await stage.store.forget(found)
        assert await garbage(stage) == NOTHING
        assert await stage.all_segments() == []

    async def test_forgetting_nothing_changes_nothing(self, stage: Stage) -> None:
        await stage.store.forget(NOTHING)


class TestPruning:
    async def prune(
        self, stage: Stage, *, limit: int = 100, upload_lifetime: int = 60, batch_lifetime: int = 60
    ) -> bool:
        return await stage.store.prune(limit, upload_lifetime=upload_lifetime, batch_lifetime=batch_lifetime)

    async def test_an_upload_can_be_asked_about_until_its_lifetime_is_over(self, stage: Stage) -> None:
        upload = await stage.store.add_upload(an_upload(), 60)
        await stage.advance(60 + 59)
        await self.prune(stage)
        assert await stage.store.get_upload("acme", upload.id) is not None
        await stage.advance(2)
        await self.prune(stage)
        assert await stage.store.get_upload("acme", upload.id) is None

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_a_batch_that_has_ended_can_be_asked_about_until_its_lifetime_is_over(
        self, stage: Stage, status: BatchStatus
    ) -> None:
        batch, _ = await stage.at(status)
        await stage.advance(59)
        await self.prune(stage)
        assert await stage.store.get_batch("acme", batch.id) is not None
        await stage.advance(2)
        await self.prune(stage)
        assert await stage.store.get_batch("acme", batch.id) is None

    @pytest.mark.parametrize("status", sorted(set(BatchStatus) - TERMINAL))
    async def test_a_batch_that_has_not_ended_stays_however_old_it_is(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        await stage.advance(10**6)
        await self.prune(stage)
        assert await stage.status(batch) is status

    async def test_a_lifetime_of_0_keeps_batches_for_ever(self, stage: Stage) -> None:
        batch, _ = await stage.at(BatchStatus.COMPLETED)
        await stage.advance(10**6)
        assert not await self.prune(stage, batch_lifetime=0)
        assert await stage.status(batch) is BatchStatus.COMPLETED

    async def test_a_name_can_be_used_again_once_its_batch_is_gone(self, stage: Stage) -> None:
        once = IdempotencyKey("name", "these words")
        first = await stage.store.add_batch(a_batch(), once)
        await stage.store.reject(await stage.claim_one(TaskKind.VALIDATE), [])
        assert (await stage.store.add_batch(a_batch(), once)).id == first.id
        await stage.advance(61)
        await self.prune(stage)
        second = await stage.store.add_batch(a_batch(), IdempotencyKey("name", "other words"))
        assert second.id != first.id

    async def test_segments_of_a_batch_that_is_gone_are_garbage(self, stage: Stage) -> None:
        batch = await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        await stage.store.record([ShardReport(task, segment(task), done=True)])
        finalize = await stage.claim_one(TaskKind.FINALIZE)
        await stage.store.finish(finalize, BatchStatus.COMPLETED, BatchOutputs(None, None, 0), 60)
        await stage.advance(61)
        await self.prune(stage)
        assert await garbage(stage, result_lifetime=10**6) == Garbage({}, [], [batch.id])

    async def test_no_more_than_asked_goes_at_once(self, stage: Stage) -> None:
        uploads = [await stage.store.add_upload(an_upload(), 60) for _ in range(3)]
        await stage.advance(10**6)
        assert await self.prune(stage, limit=2)
        assert not await self.prune(stage, limit=2)
        assert [await stage.store.get_upload("acme", upload.id) for upload in uploads] == [None] * 3


class TestReferences:
    async def test_rows_of_files_parts_and_segments_refer_to_their_blobs(self, stage: Stage) -> None:
        file = await stage.store.add_file(a_file(), None)
        upload = await stage.store.add_upload(an_upload(), 60)
        await stage.store.add_part(UploadPart("part_1", upload.id, 1, "uploads/u/part_1"))
        await stage.started()
        task = await stage.claim_one(TaskKind.RUN)
        mine = segment(task)
        await stage.store.record([ShardReport(task, mine, done=False)])
        known = {file.blob_key, "uploads/u/part_1", mine.blob_key}
        others = {"files/other", "uploads/u/other", "segments/b/other"}
        assert await stage.store.referenced(known | others) == known
        assert await stage.store.referenced(others) == set()
        assert await stage.store.referenced([]) == set()

    async def test_a_deleted_file_is_referred_to_until_it_is_forgotten(self, stage: Stage) -> None:
        file = await stage.store.add_file(a_file(), None)
        await stage.store.delete_file("acme", file.id)
        assert await stage.store.referenced([file.blob_key]) == {file.blob_key}
        await stage.store.forget(await garbage(stage))
        assert await stage.store.referenced([file.blob_key]) == set()

    @pytest.mark.parametrize("status", sorted(BatchStatus))
    async def test_a_batch_refers_to_its_input_until_it_has_ended(self, stage: Stage, status: BatchStatus) -> None:
        batch, _ = await stage.at(status)
        assert batch.input_key
        assert await stage.store.referenced([batch.input_key]) == (set() if status in TERMINAL else {batch.input_key})

    async def test_many_keys_can_be_asked_about_at_once(self, stage: Stage) -> None:
        file = await stage.store.add_file(a_file(), None)
        keys = [f"files/{number}" for number in range(1000)]
        assert await stage.store.referenced([*keys, file.blob_key]) == {file.blob_key}
