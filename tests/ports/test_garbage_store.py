"""Behaviour of every GarbageStore."""

from __future__ import annotations

import pytest
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.ports import BatchOutputs, Garbage, IdempotencyKey, ShardReport
from batchwire_server.core.records import TaskKind, UploadPart

from tests.ports.stores import StoreHarness, a_batch, a_file, an_upload, segment

NOTHING = Garbage({}, [], [])


async def garbage(harness: StoreHarness, limit: int = 100, result_lifetime: int = 0) -> Garbage:
    return await harness.store.garbage(limit, result_lifetime)


class TestFiles:
    async def test_a_live_file_is_not_garbage(self, harness: StoreHarness) -> None:
        await harness.store.add_file(a_file(), None)
        await harness.store.add_file(a_file(), 60)
        assert await garbage(harness) == NOTHING

    async def test_deleted_and_expired_files_are_garbage_until_forgotten(self, harness: StoreHarness) -> None:
        deleted = await harness.store.add_file(a_file(), None)
        await harness.store.delete_file("acme", deleted.id)
        expired = await harness.store.add_file(a_file(), 60)
        await harness.advance(61)
        found = await garbage(harness)
        assert found == Garbage({deleted.id: deleted.blob_key, expired.id: expired.blob_key}, [], [])
        await harness.store.forget(found)
        assert await garbage(harness) == NOTHING

    @pytest.mark.parametrize("status", sorted(set(BatchStatus) - TERMINAL))
    async def test_a_deleted_file_that_an_unfinished_batch_reads_is_not_garbage(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        file = await harness.store.add_file(a_file(blob_key=batch.input_key), None)
        await harness.store.delete_file("acme", file.id)
        assert await harness.store.get_file("acme", file.id) is None
        assert await garbage(harness) == NOTHING

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_a_deleted_file_is_garbage_once_its_batch_has_ended(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        file = await harness.store.add_file(a_file(blob_key=batch.input_key), None)
        await harness.store.delete_file("acme", file.id)
        assert list((await garbage(harness)).files) == [file.id]

    async def test_newest_needed_returns_the_keys_of_files_that_are_not_garbage(self, harness: StoreHarness) -> None:
        assert await harness.store.newest_needed(5) == []
        batch, _ = await harness.batch_in(BatchStatus.IN_PROGRESS)
        read = await harness.store.add_file(a_file(blob_key=batch.input_key), None)
        await harness.store.delete_file("acme", read.id)
        for lifetime, deleted in ((60, False), (None, True)):
            file = await harness.store.add_file(a_file(), lifetime)
            if deleted:
                await harness.store.delete_file("acme", file.id)
        await harness.advance(61)
        live = await harness.store.add_file(a_file("other"), None)
        assert await harness.store.newest_needed(5) == [live.blob_key, read.blob_key]
        assert await harness.store.newest_needed(1) == [live.blob_key]

    async def test_one_unfinished_reader_among_ended_ones_keeps_a_file(self, harness: StoreHarness) -> None:
        ended, _ = await harness.batch_in(BatchStatus.COMPLETED)
        await harness.store.add_batch(a_batch(input_key=ended.input_key))
        file = await harness.store.add_file(a_file(blob_key=ended.input_key), None)
        await harness.store.delete_file("acme", file.id)
        assert await garbage(harness) == NOTHING

    async def test_garbage_is_returned_up_to_the_limit(self, harness: StoreHarness) -> None:
        for _ in range(5):
            await harness.store.delete_file("acme", (await harness.store.add_file(a_file(), None)).id)
        assert len((await garbage(harness, limit=2)).files) == 2


class TestUploads:
    async def test_parts_of_a_pending_upload_are_not_garbage(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        await harness.store.add_part(UploadPart("part_1", upload.id, 1, "k"))
        assert await garbage(harness) == NOTHING

    @pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
    async def test_parts_of_an_ended_upload_are_garbage_until_forgotten(self, harness: StoreHarness, end: str) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        for number in range(2):
            await harness.store.add_part(UploadPart(f"part_{number}", upload.id, 1, f"k{number}"))
        if end == "completed":
            await harness.store.complete_upload(upload, a_file(), None)
        elif end == "cancelled":
            await harness.store.cancel_upload("acme", upload.id)
        else:
            await harness.advance(61)
        found = await garbage(harness)
        assert found == Garbage({}, [upload.id], [])
        await harness.store.forget(found)
        assert await garbage(harness) == NOTHING
        assert await harness.store.get_parts(upload.id) == []

    async def test_parts_without_an_upload_are_garbage(self, harness: StoreHarness) -> None:
        await harness.store.add_part(UploadPart("part_1", "upload_1", 1, "k"))
        found = await garbage(harness)
        assert found == Garbage({}, ["upload_1"], [])
        await harness.store.forget(found)
        assert await garbage(harness) == NOTHING


class TestSegments:
    @pytest.mark.parametrize("status", [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED])
    async def test_segments_of_an_ended_batch_are_garbage_after_their_lifetime(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        if status is BatchStatus.CANCELLED:
            await harness.store.cancel_batch("acme", batch.id)
        await harness.store.record([ShardReport(task, segment(task), done=True)])
        assert await garbage(harness) == NOTHING
        finalize = await harness.claim_one(TaskKind.FINALIZE)
        await harness.store.finish(finalize, status, BatchOutputs(None, None, 0), 60)
        assert await garbage(harness, result_lifetime=60) == NOTHING
        await harness.advance(61)
        found = await garbage(harness, result_lifetime=60)
        assert found == Garbage({}, [], [batch.id])
        await harness.store.forget(found)
        assert await garbage(harness) == NOTHING
        assert await harness.all_segments() == []

    async def test_forgetting_empty_garbage_has_no_effect(self, harness: StoreHarness) -> None:
        await harness.store.forget(NOTHING)


class TestPruning:
    async def prune(
        self, harness: StoreHarness, *, limit: int = 100, upload_lifetime: int = 60, batch_lifetime: int = 60
    ) -> bool:
        return await harness.store.prune(limit, upload_lifetime=upload_lifetime, batch_lifetime=batch_lifetime)

    async def test_an_upload_is_pruned_after_its_lifetime(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        await harness.advance(60 + 59)
        await self.prune(harness)
        assert await harness.store.get_upload("acme", upload.id) is not None
        await harness.advance(2)
        await self.prune(harness)
        assert await harness.store.get_upload("acme", upload.id) is None

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    async def test_an_ended_batch_is_pruned_after_its_lifetime(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        await harness.advance(59)
        await self.prune(harness)
        assert await harness.store.get_batch("acme", batch.id) is not None
        await harness.advance(2)
        await self.prune(harness)
        assert await harness.store.get_batch("acme", batch.id) is None

    @pytest.mark.parametrize("status", sorted(set(BatchStatus) - TERMINAL))
    async def test_an_unfinished_batch_is_never_pruned(self, harness: StoreHarness, status: BatchStatus) -> None:
        batch, _ = await harness.batch_in(status)
        await harness.advance(10**6)
        await self.prune(harness)
        assert await harness.status(batch) is status

    async def test_a_batch_lifetime_of_0_prunes_no_batch(self, harness: StoreHarness) -> None:
        batch, _ = await harness.batch_in(BatchStatus.COMPLETED)
        await harness.advance(10**6)
        assert not await self.prune(harness, batch_lifetime=0)
        assert await harness.status(batch) is BatchStatus.COMPLETED

    async def test_an_idempotency_key_can_be_used_again_after_its_batch_is_pruned(self, harness: StoreHarness) -> None:
        once = IdempotencyKey("name", "these words")
        first = await harness.store.add_batch(a_batch(), once)
        await harness.store.reject(await harness.claim_one(TaskKind.VALIDATE), [])
        assert (await harness.store.add_batch(a_batch(), once)).id == first.id
        await harness.advance(61)
        await self.prune(harness)
        second = await harness.store.add_batch(a_batch(), IdempotencyKey("name", "other words"))
        assert second.id != first.id

    async def test_segments_without_a_batch_are_garbage(self, harness: StoreHarness) -> None:
        batch = await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        await harness.store.record([ShardReport(task, segment(task), done=True)])
        finalize = await harness.claim_one(TaskKind.FINALIZE)
        await harness.store.finish(finalize, BatchStatus.COMPLETED, BatchOutputs(None, None, 0), 60)
        await harness.advance(61)
        await self.prune(harness)
        assert await garbage(harness, result_lifetime=10**6) == Garbage({}, [], [batch.id])

    async def test_rows_are_pruned_up_to_the_limit(self, harness: StoreHarness) -> None:
        uploads = [await harness.store.add_upload(an_upload(), 60) for _ in range(3)]
        await harness.advance(10**6)
        assert await self.prune(harness, limit=2)
        assert not await self.prune(harness, limit=2)
        assert [await harness.store.get_upload("acme", upload.id) for upload in uploads] == [None] * 3


class TestReferences:
    async def test_blobs_of_files_parts_and_segments_are_referenced(self, harness: StoreHarness) -> None:
        file = await harness.store.add_file(a_file(), None)
        upload = await harness.store.add_upload(an_upload(), 60)
        await harness.store.add_part(UploadPart("part_1", upload.id, 1, "uploads/u/part_1"))
        await harness.start_batch()
        task = await harness.claim_one(TaskKind.RUN)
        mine = segment(task)
        await harness.store.record([ShardReport(task, mine, done=False)])
        known = {file.blob_key, "uploads/u/part_1", mine.blob_key}
        others = {"files/other", "uploads/u/other", "segments/b/other"}
        assert await harness.store.referenced(known | others) == known
        assert await harness.store.referenced(others) == set()
        assert await harness.store.referenced([]) == set()

    async def test_the_blob_of_a_deleted_file_is_referenced_until_forgotten(self, harness: StoreHarness) -> None:
        file = await harness.store.add_file(a_file(), None)
        await harness.store.delete_file("acme", file.id)
        assert await harness.store.referenced([file.blob_key]) == {file.blob_key}
        await harness.store.forget(await garbage(harness))
        assert await harness.store.referenced([file.blob_key]) == set()

    @pytest.mark.parametrize("status", sorted(BatchStatus))
    async def test_the_input_of_a_batch_is_referenced_until_the_batch_ends(
        self, harness: StoreHarness, status: BatchStatus
    ) -> None:
        batch, _ = await harness.batch_in(status)
        assert batch.input_key
        assert await harness.store.referenced([batch.input_key]) == (set() if status in TERMINAL else {batch.input_key})

    async def test_many_keys_can_be_looked_up_in_one_call(self, harness: StoreHarness) -> None:
        file = await harness.store.add_file(a_file(), None)
        keys = [f"files/{number}" for number in range(1000)]
        assert await harness.store.referenced([*keys, file.blob_key]) == {file.blob_key}
