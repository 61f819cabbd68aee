"""Writing, hashing and counting bytes."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.blob_writer import HashingBlobWriter, LineCounter
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.lines import LineSplitter
from batchwire_server.core.ports import BLOCK_BYTES
from hypothesis import example, given
from hypothesis import strategies as st

BOM = b"\xef\xbb\xbf"
ANY_SIZE = 1 << 24

pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b"{}", b'{"a":1}', b"\xff", b"x" * 30, BOM, b"\x0b", b"\x0c"]
)
inputs = st.lists(pieces, max_size=24).map(b"".join)
cuttings = st.lists(st.integers(0, 1 << 16), max_size=8)


def counted(data: bytes, cuts: list[int] | None = None, max_first: int = ANY_SIZE) -> LineCounter:
    counter = LineCounter(max_first)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    for start, end in pairwise(edges):
        counter.feed(data[start:end])
    counter.finish()
    return counter


class TestCounting:
    @given(inputs, cuttings, st.sampled_from([0, 3, 30, ANY_SIZE]))
    def test_the_count_and_the_first_line_do_not_depend_on_the_blocks(
        self, data: bytes, cuts: list[int], max_first: int
    ) -> None:
        cut, whole = counted(data, cuts, max_first), counted(data, None, max_first)
        assert (cut.count, cut.first) == (whole.count, whole.first)

    @given(inputs)
    @example(BOM)
    @example(BOM + b"\n{}")
    @example(b"\x0b\n{}")
    def test_the_count_equals_that_of_validation(self, data: bytes) -> None:
        splitter = LineSplitter(ANY_SIZE)
        assert counted(data).count == len([*splitter.feed(data), *splitter.finish()])

    def test_finish_may_be_called_twice(self) -> None:
        counter = LineCounter(ANY_SIZE)
        counter.feed(b"{}")
        counter.finish()
        counter.finish()
        assert counter.count == 1

    @given(inputs)
    @example(BOM + b"\n{}")
    @example(b'{"a":\r1}\n')
    def test_the_first_line_is_validations_first_line(self, data: bytes) -> None:
        splitter = LineSplitter(ANY_SIZE)
        lines = [line.text or b"" for line in (*splitter.feed(data), *splitter.finish())]
        first = counted(data).first
        assert (first or b"").strip() == (lines[0].strip() if lines else b"")

    def test_an_empty_object_stands_for_a_first_line_that_is_too_long(self) -> None:
        assert counted(b"x" * 100, max_first=50).first == b"{}"

    def test_a_file_of_blank_lines_has_no_first_line(self) -> None:
        assert counted(b"\n \r\n\t").first is None


class TestHashingBlobWriter:
    @given(st.lists(st.binary(max_size=40), max_size=10))
    async def test_a_committed_blob_has_the_written_bytes_and_digests(self, parts: list[bytes]) -> None:
        blobs, data = MemoryBlobs(), b"".join(parts)
        async with HashingBlobWriter(blobs, "k", max_bytes=1000, max_line_bytes=100, with_md5=True) as writer:
            for part in parts:
                await writer.write(part)
            await writer.commit()
        assert blobs.blobs == {"k": data}
        assert writer.size == len(data)
        assert writer.sha256 == hashlib.sha256(data).hexdigest()
        assert writer.md5 == hashlib.md5(data).hexdigest()
        assert writer.line_count == counted(data).count

    async def test_many_blocks_are_hashed_and_stored_in_order(self) -> None:
        blobs = MemoryBlobs()
        data = b"".join(b"%07d\n" % number for number in range(400_000))
        async with HashingBlobWriter(blobs, "k", max_bytes=len(data), max_line_bytes=100) as writer:
            for start in range(0, len(data), BLOCK_BYTES // 3):
                await writer.write(data[start : start + BLOCK_BYTES // 3])
            await writer.commit()
        assert blobs.blobs["k"] == data
        assert writer.sha256 == hashlib.sha256(data).hexdigest()
        assert writer.line_count == 400_000
        assert writer.md5 == ""

    async def test_without_a_commit_nothing_is_stored(self) -> None:
        blobs = MemoryBlobs()
        async with HashingBlobWriter(blobs, "k", max_bytes=1000) as writer:
            await writer.write(b"x")
            await writer.finish()
        assert blobs.blobs == {}

    async def test_one_byte_above_the_limit_is_refused_and_nothing_is_stored(self) -> None:
        blobs = MemoryBlobs()
        async with HashingBlobWriter(blobs, "k", max_bytes=10) as writer:
            await writer.write(b"x" * 10)
            with pytest.raises(BatchwireError) as caught:
                await writer.write(b"x")
        assert caught.value.reason is Reason.FILE_TOO_LARGE
        assert caught.value.details == {"max_bytes": "10"}
        assert blobs.blobs == {}

    @pytest.mark.parametrize("data", [b"{}", b"\n\r\n{}", BOM + b'{"a":1}\nrubbish', b'{"x":1e400}\n'])
    async def test_a_first_line_that_is_a_json_object_looks_like_requests(self, data: bytes) -> None:
        async with HashingBlobWriter(MemoryBlobs(), "k", max_bytes=100, max_line_bytes=100) as writer:
            await writer.write(data)
            await writer.finish()
            assert writer.looks_like_requests()

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"rubbish\n{}", b"[]\n"])
    async def test_no_line_or_any_other_first_line_does_not_look_like_requests(self, data: bytes) -> None:
        async with HashingBlobWriter(MemoryBlobs(), "k", max_bytes=100, max_line_bytes=100) as writer:
            await writer.write(data)
            await writer.finish()
            assert not writer.looks_like_requests()
