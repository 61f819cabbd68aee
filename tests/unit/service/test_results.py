"""Results: finished lines are streamed from any offset, until the batch has ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import NO_USAGE, Batch, Segment
from batchwire_server.service.results import Results

from tests.ports.stores import a_batch

HEADER, LINES = b"header\n", (b"one\n", b"two\n", b"three\n")


class Recorded:
    """The store and change feed of a batch. A wait records a segment, and the last one ends it."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs
        self.batch = a_batch(tenant="t", status=BatchStatus.IN_PROGRESS)
        self.segments: list[Segment] = []

    async def wait(self, seen: int, _timeout: float) -> int:
        line, start = LINES[len(self.segments)], self.batch.result_bytes
        key = f"segments/{len(self.segments)}"
        await self._blobs.put(key, HEADER + line)
        self.segments.append(Segment(1, key, len(HEADER), len(line), 1, 0, NO_USAGE, start))
        ended = BatchStatus.COMPLETED if len(self.segments) == len(LINES) else BatchStatus.IN_PROGRESS
        self.batch = replace(self.batch, result_bytes=start + len(line), status=ended)
        return seen + 1

    async def get_batch(self, tenant: str, _batch_id: str) -> Batch | None:
        return self.batch if tenant == "t" else None

    async def segments_from(self, _batch_id: str, offset: int, limit: int) -> list[Segment]:
        return [segment for segment in self.segments if segment.start + segment.bytes > offset][:limit]


class Environment:
    """The use case over one batch."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.recorded = Recorded(self.blobs)
        self.results = Results(self.recorded, self.blobs, self.recorded)  # type: ignore[arg-type]  # what streams call

    async def read(self, offset: int = 0, tenant: str = "t") -> tuple[bytes, int]:
        data = b""
        async for piece in self.results.stream(tenant, self.recorded.batch.id, offset):
            data += piece.data
            offset = piece.next_offset
        return data, offset


@pytest.fixture
def environment() -> Environment:
    return Environment()


async def test_lines_are_streamed_while_the_batch_runs(environment: Environment) -> None:
    whole = b"".join(LINES)
    assert await environment.read() == (whole, len(whole))


@pytest.mark.parametrize("offset", [1, 4, 9, 14])
async def test_a_stream_resumes_at_any_offset(environment: Environment, offset: int) -> None:
    whole, end = await environment.read()
    assert await environment.read(offset) == (whole[offset:], end)


@pytest.mark.parametrize("offset", [-1, 15])
async def test_an_offset_out_of_range_is_refused(environment: Environment, offset: int) -> None:
    await environment.read()
    with pytest.raises(BatchwireError, match="beyond the end of 14 bytes"):
        await environment.read(offset)


@pytest.mark.parametrize("missing", ["rows", "blobs"])
async def test_results_that_have_been_deleted_are_refused(environment: Environment, missing: str) -> None:
    await environment.read()
    if missing == "rows":
        environment.recorded.segments.clear()
    else:
        environment.blobs.blobs.clear()
    with pytest.raises(BatchwireError) as refused:
        await environment.read()
    assert refused.value.reason is Reason.RESULTS_NOT_STREAMABLE


async def test_a_batch_is_not_found_by_another_tenant(environment: Environment) -> None:
    with pytest.raises(BatchwireError, match="No batch found"):
        await environment.read(tenant="another")
