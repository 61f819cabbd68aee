"""Behaviour of every BlobStore."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import subprocess
import sys
import textwrap
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from batchwire_server.adapters.blobs.local import LocalBlobs
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.adapters.blobs.object_store import ObjectBlobs
from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError
from batchwire_server.core.ports import BlobStore

from tests.support.folders import files_below
from tests.support.object_store import store_below

ALL = 1 << 24


@pytest.fixture(params=["local", "memory", "object"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    match request.param:
        case "local":
            return LocalBlobs.make(tmp_path / "blobs")
        case "memory":
            return MemoryBlobs()
        case _:
            store = request.getfixturevalue("object_store")
            return ObjectBlobs(store_below(store, f"{tmp_path.name}/{secrets.token_hex(4)}"))


async def fail_within(blobs: BlobStore, key: str, error: BaseException) -> None:
    async with blobs.writer(key) as writer:
        await writer.write(b"x")
        raise error


async def streamed(blobs: BlobStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    async with aclosing(blobs.stream(key, start, end)) as blocks:
        return b"".join([block async for block in blocks])


async def test_a_working_store_is_reachable(blobs: BlobStore) -> None:
    await blobs.reach()


async def test_a_missing_or_empty_directory_is_out_of_reach(tmp_path: Path) -> None:
    blobs = LocalBlobs.make(tmp_path / "blobs")
    await blobs.put("files/a", b"x")
    (tmp_path / "blobs").rename(tmp_path / "away")
    with pytest.raises(OutOfReachError):
        await blobs.reach()
    for empty in (False, True):  # an empty mount point is no better
        if empty:
            (tmp_path / "blobs").mkdir()
        with pytest.raises(OutOfReachError):
            await blobs.read("files/a", 0, 1)
        with pytest.raises(OutOfReachError):
            await streamed(blobs, "files/a")


class TestReading:
    @pytest.mark.parametrize("size", [0, 1, 100, 3_000_000])
    async def test_a_blob_is_read_as_it_was_stored(self, blobs: BlobStore, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await blobs.put("files/a", data)
        assert await blobs.read("files/a", 0, ALL) == data
        assert await streamed(blobs, "files/a") == data

    @pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 3), (3, 7), (7, 99), (10, 10), (10, 20), (50, 60), (5, 2)])
    async def test_ranges_behave_like_slices(self, blobs: BlobStore, start: int, end: int) -> None:
        data = b"0123456789"
        await blobs.put("a/b/c", data)
        assert await blobs.read("a/b/c", start, end) == data[start:end]
        assert await streamed(blobs, "a/b/c", start, end) == data[start:end]

    async def test_a_large_range_is_streamed_in_blocks(self, blobs: BlobStore) -> None:
        data = b"0123456789" * 300_000
        await blobs.put("a", data)
        async with aclosing(blobs.stream("a", 17, 2_500_001)) as blocks:
            received = [block async for block in blocks]
        assert b"".join(received) == data[17:2_500_001]
        assert max(map(len, received)) <= 1024 * 1024

    async def test_a_blob_that_does_not_exist_is_not_found(self, blobs: BlobStore) -> None:
        await blobs.put("files/a", b"x")
        for key in ("files/b", "other/a", "files/a2"):
            with pytest.raises(BlobNotFoundError):
                await blobs.read(key, 0, 1)
            with pytest.raises(BlobNotFoundError):
                await streamed(blobs, key)

    async def test_a_stream_closed_early_leaves_no_open_file(self, blobs: BlobStore) -> None:
        await blobs.put("a", b"x" * 3_000_000)
        async with aclosing(blobs.stream("a")) as blocks:
            async for block in blocks:
                assert block
                break
        await blobs.delete(["a"])

    async def test_a_stream_continues_if_its_blob_is_deleted_meanwhile(self, blobs: BlobStore) -> None:
        await blobs.put("a", b"x" * 3_000_000)
        size = 0
        async with aclosing(blobs.stream("a")) as blocks:
            async for block in blocks:
                size += len(block)
                await blobs.delete(["a"])
        assert size == 3_000_000


class TestWriting:
    async def test_a_blob_is_visible_from_its_commit_on(self, blobs: BlobStore) -> None:
        async with blobs.writer("files/a") as writer:
            await writer.write(b"01")
            await writer.write(b"")
            await writer.write(b"23")
            with pytest.raises(BlobNotFoundError):
                await blobs.read("files/a", 0, ALL)
            await writer.commit()
            assert await blobs.read("files/a", 0, ALL) == b"0123"
        assert await blobs.read("files/a", 0, ALL) == b"0123"

    async def test_a_writer_without_commit_stores_nothing(self, blobs: BlobStore) -> None:
        async with blobs.writer("files/a") as writer:
            await writer.write(b"x")
        with pytest.raises(BlobNotFoundError):
            await blobs.read("files/a", 0, ALL)

    async def test_an_error_before_commit_stores_nothing(self, blobs: BlobStore) -> None:
        with pytest.raises(RuntimeError):
            await fail_within(blobs, "files/a", RuntimeError())
        with pytest.raises(BlobNotFoundError):
            await blobs.read("files/a", 0, ALL)

    async def test_a_key_can_be_stored_again(self, blobs: BlobStore) -> None:
        await blobs.put("segments/b/1", b"old")
        await blobs.put("segments/b/1", b"new")
        assert await blobs.read("segments/b/1", 0, ALL) == b"new"

    async def test_changing_a_written_buffer_does_not_change_the_blob(self, blobs: BlobStore) -> None:
        buffer = bytearray(b"before")
        async with blobs.writer("a") as writer:
            await writer.write(bytes(buffer))
            buffer[:] = b"after!"
            await writer.commit()
        assert await blobs.read("a", 0, ALL) == b"before"

    async def test_many_blobs_are_written_concurrently(self, blobs: BlobStore) -> None:
        await asyncio.gather(*(blobs.put(f"segments/{n % 3}/{n}", b"%d" % n) for n in range(40)))
        assert [await blobs.read(f"segments/{n % 3}/{n}", 0, ALL) for n in range(40)] == [b"%d" % n for n in range(40)]


class TestDeleting:
    async def test_delete_removes_the_given_blobs_alone(self, blobs: BlobStore) -> None:
        for key in ("files/a", "files/b", "files/c"):
            await blobs.put(key, b"x")
        await blobs.delete(["files/a", "files/c", "files/never", "nowhere/never"])
        with pytest.raises(BlobNotFoundError):
            await blobs.read("files/a", 0, 1)
        assert await blobs.read("files/b", 0, 1) == b"x"

    async def test_deleting_no_keys_is_allowed(self, blobs: BlobStore) -> None:
        await blobs.delete([])
        await blobs.delete_below("nowhere")

    async def test_delete_below_removes_the_keys_below_a_prefix_alone(self, blobs: BlobStore) -> None:
        for key in ("segments/b1/1", "segments/b1/2", "segments/b10/1", "segments/b1x"):
            await blobs.put(key, b"x")
        await blobs.delete_below("segments/b1")
        for key in ("segments/b1/1", "segments/b1/2"):
            with pytest.raises(BlobNotFoundError):
                await blobs.read(key, 0, 1)
        for key in ("segments/b10/1", "segments/b1x"):
            assert await blobs.read(key, 0, 1) == b"x"

    async def test_a_key_below_a_deleted_prefix_can_be_used_again(self, blobs: BlobStore) -> None:
        await blobs.put("segments/b1/1", b"x")
        await blobs.delete_below("segments/b1")
        await blobs.put("segments/b1/1", b"y")
        assert await blobs.read("segments/b1/1", 0, 1) == b"y"


class TestListing:
    async def listed(self, blobs: BlobStore, prefix: str, before: float = math.inf) -> list[str]:
        async with aclosing(blobs.list_below(prefix, before)) as pages:
            return sorted([key async for page in pages for key in page])

    async def test_list_below_yields_the_keys_below_a_prefix_alone(self, blobs: BlobStore) -> None:
        for key in ("segments/b1/1", "segments/b1/2", "segments/b10/1", "files/a"):
            await blobs.put(key, b"x")
        assert await self.listed(blobs, "segments") == ["segments/b1/1", "segments/b1/2", "segments/b10/1"]
        assert await self.listed(blobs, "segments/b1") == ["segments/b1/1", "segments/b1/2"]
        assert await self.listed(blobs, "uploads") == []

    async def test_list_below_yields_only_blobs_stored_before_the_given_time(self, blobs: BlobStore) -> None:
        await blobs.put("files/a", b"x")
        assert await self.listed(blobs, "files", time.time() - 60) == []
        assert await self.listed(blobs, "files", time.time() + 60) == ["files/a"]

    async def test_an_uncommitted_blob_is_not_listed(self, blobs: BlobStore) -> None:
        async with blobs.writer("files/a") as writer:
            await writer.write(b"x")
            assert await self.listed(blobs, "files") == []

    async def test_many_keys_are_listed_in_pages_and_may_be_deleted_meanwhile(self, blobs: BlobStore) -> None:
        keys = [f"files/{number:04}" for number in range(1200)]
        for few in range(0, 1200, 100):
            await asyncio.gather(*(blobs.put(key, b"") for key in keys[few : few + 100]))
        seen = []
        async with aclosing(blobs.list_below("files", math.inf)) as pages:
            async for page in pages:
                seen += page
                await blobs.delete(page)
        assert sorted(seen) == keys
        assert await self.listed(blobs, "files") == []

    async def test_clear_temporary_keeps_blobs_and_active_writers(self, blobs: BlobStore) -> None:
        await blobs.put("files/a", b"x")
        async with blobs.writer("files/b") as writer:
            await writer.write(b"y")
            await blobs.clear_temporary(time.time() - 60)
            await writer.commit()
        await blobs.clear_temporary(math.inf)
        assert await self.listed(blobs, "files") == ["files/a", "files/b"]
        assert await blobs.read("files/b", 0, 9) == b"y"


class TestLocalBlobs:
    """Behaviour of LocalBlobs alone."""

    async def test_failed_writers_leave_no_temporary_file(self, tmp_path: Path) -> None:
        blobs = LocalBlobs.make(tmp_path)
        async with blobs.writer("a") as writer:
            await writer.write(b"x")
        with pytest.raises(asyncio.CancelledError):
            await fail_within(blobs, "b", asyncio.CancelledError())
        await blobs.put("c/d", b"x")
        assert files_below(tmp_path) == ["c/d"]

    def test_clear_temporary_deletes_old_files_of_killed_writers(self, tmp_path: Path) -> None:
        script = f"""
            import asyncio, os
            from pathlib import Path
            from batchwire_server.adapters.blobs.local import LocalBlobs
            async def write():
                async with LocalBlobs.make(Path({str(tmp_path)!r})).writer("a") as writer:
                    await writer.write(b"x")
                    os._exit(0)
            asyncio.run(write())
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
        (left,) = files_below(tmp_path)
        blobs = LocalBlobs.make(tmp_path)
        asyncio.run(blobs.clear_temporary(time.time() - 60))
        assert files_below(tmp_path) == [left]
        os.utime(tmp_path / left, (0, time.time() - 61))
        asyncio.run(blobs.clear_temporary(time.time() - 60))
        assert files_below(tmp_path) == []

    async def test_another_process_sees_the_blobs(self, tmp_path: Path) -> None:
        await LocalBlobs.make(tmp_path).put("a/b", b"x")
        assert await LocalBlobs.make(tmp_path).read("a/b", 0, 9) == b"x"

    def test_a_partly_written_blob_is_never_published(self, tmp_path: Path) -> None:
        script = f"""
            import asyncio, resource
            from pathlib import Path
            from batchwire_server.adapters.blobs.local import LocalBlobs
            from batchwire_server.core.errors import OutOfReachError
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            try:
                asyncio.run(LocalBlobs.make(Path({str(tmp_path)!r})).put("a/b", b"x" * 5000))
            except OutOfReachError:
                print("refused")
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
        )
        published = tmp_path / "a" / "b"
        assert not published.exists(), f"{published.stat().st_size} of 5000 bytes were published"
        assert done.stdout == "refused\n"
