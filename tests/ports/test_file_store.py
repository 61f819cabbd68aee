"""Behaviour of every FileStore."""

from __future__ import annotations

import asyncio

import pytest
from batchwire_server.core.records import File, UploadPart, UploadStatus

from tests.ports.stores import StoreHarness, a_file, an_upload


async def page(harness: StoreHarness, after: str = "", limit: int = 100, **more: object) -> list[str]:
    said = {"tenant": "acme", "purpose": "", "oldest_first": False} | more
    found = await harness.store.list_files(after=after, limit=limit, **said)  # type: ignore[arg-type]  # a dict of object
    assert found is not None
    return [file.id for file in found.items]


async def files(harness: StoreHarness, count: int, tenant: str = "acme") -> list[File]:
    return [await harness.store.add_file(a_file(tenant), None) for _ in range(count)]


class TestFiles:
    async def test_a_stored_file_is_returned_with_its_times(self, harness: StoreHarness) -> None:
        given = a_file(filename="ü.jsonl", bytes=1 << 40, line_count=None)
        stored = await harness.store.add_file(given, 60)
        assert stored.expires_at == stored.created_at + 60_000
        assert await harness.store.get_file("acme", given.id) == stored

    async def test_a_file_without_a_lifetime_never_expires(self, harness: StoreHarness) -> None:
        assert (await harness.store.add_file(a_file(), None)).expires_at is None

    async def test_a_file_is_invisible_to_other_tenants(self, harness: StoreHarness) -> None:
        (file,) = await files(harness, 1)
        assert await harness.store.get_file("other", file.id) is None
        assert not await harness.store.delete_file("other", file.id)
        assert await page(harness, tenant="other") == []
        assert await harness.store.list_files("other", purpose="", after=file.id, limit=5, oldest_first=False) is None
        assert await harness.store.get_file("acme", file.id)

    async def test_a_deleted_file_does_not_exist_for_callers(self, harness: StoreHarness) -> None:
        (file,) = await files(harness, 1)
        assert await harness.store.delete_file("acme", file.id)
        assert not await harness.store.delete_file("acme", file.id)
        assert await harness.store.get_file("acme", file.id) is None
        assert await page(harness) == []

    async def test_an_expired_file_does_not_exist_for_callers(self, harness: StoreHarness) -> None:
        file = await harness.store.add_file(a_file(), 60)
        await harness.advance(61)
        assert await harness.store.get_file("acme", file.id) is None
        assert not await harness.store.delete_file("acme", file.id)
        assert await page(harness) == []

    async def test_concurrent_deletes_of_a_file_succeed_once(self, harness: StoreHarness) -> None:
        (file,) = await files(harness, 1)
        deleted = await asyncio.gather(*(harness.store.delete_file("acme", file.id) for _ in range(8)))
        assert sorted(deleted) == [False] * 7 + [True]

    async def test_files_are_filtered_by_purpose(self, harness: StoreHarness) -> None:
        kept = await harness.store.add_file(a_file(purpose="vision"), None)
        await files(harness, 2)
        assert await page(harness, purpose="vision") == [kept.id]


class TestPages:
    @pytest.mark.parametrize("oldest_first", [False, True])
    @pytest.mark.parametrize("same_instant", [False, True])
    async def test_pages_list_each_file_once_and_in_order(
        self, harness: StoreHarness, oldest_first: bool, same_instant: bool
    ) -> None:
        if same_instant:
            await harness.freeze_clock()
        made = await files(harness, 7)
        order = sorted(made, key=lambda file: (file.created_at, file.id), reverse=not oldest_first)
        seen: list[str] = []
        more = True
        while more:
            found = await harness.store.list_files(
                "acme", purpose="", after=seen[-1] if seen else "", limit=3, oldest_first=oldest_first
            )
            assert found
            seen += [file.id for file in found.items]
            more = found.has_more
        assert seen == [file.id for file in order]

    async def test_a_full_last_page_has_no_more(self, harness: StoreHarness) -> None:
        await files(harness, 3)
        found = await harness.store.list_files("acme", purpose="", after="", limit=3, oldest_first=False)
        assert found
        assert not found.has_more

    async def test_files_added_meanwhile_do_not_shift_the_pages(self, harness: StoreHarness) -> None:
        made = await files(harness, 4)
        await harness.advance(10)
        first = await page(harness, limit=2)
        await files(harness, 3)
        second = await page(harness, after=first[-1], limit=2)
        assert sorted(first + second) == sorted(file.id for file in made)

    async def test_files_deleted_meanwhile_do_not_shift_the_pages(self, harness: StoreHarness) -> None:
        made = await files(harness, 4)
        first = await page(harness, limit=2)
        await harness.store.delete_file("acme", first[0])
        second = await page(harness, after=first[-1], limit=2)
        assert sorted(first + second) == sorted(file.id for file in made)

    async def test_a_page_may_start_after_a_deleted_file(self, harness: StoreHarness) -> None:
        made = await files(harness, 4)
        first = await page(harness, limit=2)
        await harness.store.delete_file("acme", first[-1])
        second = await page(harness, after=first[-1], limit=2)
        assert sorted(first + second) == sorted(file.id for file in made)

    async def test_a_page_after_an_unknown_id_is_none(self, harness: StoreHarness) -> None:
        assert await harness.store.list_files("acme", purpose="", after="file-x", limit=3, oldest_first=True) is None


class TestUploads:
    async def test_a_stored_upload_is_returned_with_its_times(self, harness: StoreHarness) -> None:
        given = an_upload()
        stored = await harness.store.add_upload(given, 60)
        assert stored.expires_at == stored.created_at + 60_000
        assert stored.status is UploadStatus.PENDING
        assert await harness.store.get_upload("acme", given.id) == stored
        assert await harness.store.get_upload("other", given.id) is None

    async def test_an_upload_past_its_time_is_expired_and_cannot_be_completed(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        await harness.advance(61)
        found = await harness.store.get_upload("acme", upload.id)
        assert found
        assert found.status is UploadStatus.EXPIRED
        assert not await harness.store.cancel_upload("acme", upload.id)
        assert await harness.store.complete_upload(upload, a_file(), None) is None

    async def test_parts_of_an_upload_are_returned(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        other = await harness.store.add_upload(an_upload(), 60)
        parts = [await harness.store.add_part(UploadPart(f"part_{n}", upload.id, n, f"k{n}")) for n in range(3)]
        await harness.store.add_part(UploadPart("part_x", other.id, 1, "kx"))
        assert sorted(await harness.store.get_parts(upload.id), key=lambda part: part.id) == parts
        assert all(part.created_at for part in parts)

    async def test_completing_an_upload_stores_its_file_in_one_transaction(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        file = a_file()
        done = await harness.store.complete_upload(upload, file, 60)
        assert done
        assert (done.status, done.file_id) == (UploadStatus.COMPLETED, file.id)
        assert await harness.store.get_upload("acme", upload.id) == done
        assert await harness.store.get_file("acme", file.id)

    async def test_concurrent_completions_store_one_file(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        done = await asyncio.gather(*(harness.store.complete_upload(upload, a_file(), None) for _ in range(6)))
        assert sum(one is not None for one in done) == 1
        assert len(await page(harness)) == 1

    async def test_a_completed_upload_stays_completed_past_its_time(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        await harness.store.complete_upload(upload, a_file(), None)
        await harness.advance(61)
        found = await harness.store.get_upload("acme", upload.id)
        assert found
        assert found.status is UploadStatus.COMPLETED

    async def test_an_upload_is_cancelled_once(self, harness: StoreHarness) -> None:
        upload = await harness.store.add_upload(an_upload(), 60)
        assert not await harness.store.cancel_upload("other", upload.id)
        assert await harness.store.cancel_upload("acme", upload.id)
        assert not await harness.store.cancel_upload("acme", upload.id)
        assert await harness.store.complete_upload(upload, a_file(), None) is None
        assert await page(harness) == []
