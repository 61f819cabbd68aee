"""The journal: what has finished becomes durable, once, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.ports import ShardReport, TaskQueue
from batchwire_server.core.records import Batch, Task, TaskKind, Usage
from batchwire_server.core.results import Reply, read_usage
from batchwire_server.core.segments import decode_header
from batchwire_server.worker.result_writer import MAX_HELD_BYTES, ResultWriter
from batchwire_server.worker.shard_run import LineCall, ShardRun

from tests.ports.stores import StoreHarness, shards
from tests.support.scripted_upstream import until
from tests.unit.worker.environment import input_line

NEVER = 3600.0


class FlakyBlobs(MemoryBlobs):
    """Blobs that fail to take some of what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    async def put(self, key: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")
        await super().put(key, data)


class FlakyQueue:
    """The recording part of a queue, which fails before or after it has done its work."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self.failures_before = 0
        self.failures_after = 0
        self.then: Callable[[], None] = lambda: None  # what happens while it records

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        if self.failures_before:
            self.failures_before -= 1
            raise ConnectionError("the store is gone")
        lost = await self._queue.record(reports)
        then, self.then = self.then, lambda: None
        then()
        if self.failures_after:
            self.failures_after -= 1
            raise ConnectionError("the answer is lost")
        return lost


class Scene:
    """A journal, and a run of ten lines."""

    def __init__(self, harness: StoreHarness) -> None:
        self.harness = harness
        self.blobs = FlakyBlobs()
        self.queue = FlakyQueue(harness.store)
        self.closed: list[ShardRun] = []
        self.writer = self.make_journal(NEVER)

    def make_journal(self, interval: float) -> ResultWriter:
        self.writer = ResultWriter(self.queue, self.blobs, interval, self.closed.append)  # type: ignore[arg-type]
        return self.writer

    def note(self, run: ShardRun) -> None:
        self.writer.note(run)

    async def run(self, parts: int = 1) -> tuple[Batch, ShardRun, list[LineCall]]:
        batch = await self.harness.start_batch(parts=shards(parts))
        task = await self.harness.claim_one(TaskKind.RUN)
        run, lines = self.run_of(task, batch)
        return batch, run, lines

    def run_of(self, task: Task, batch: Batch) -> tuple[ShardRun, list[LineCall]]:
        run = ShardRun(task, batch, self.note)
        lines = run.add_lines((number, input_line(number)) for number in range(1, 11))
        self.writer.add(run)
        return run, lines

    async def recorded(self, batch: Batch) -> list[int]:
        """Returns the numbers of the lines that are recorded, however often they are."""
        numbers: list[int] = []
        for segment in await self.harness.store.segments_from(batch.id, 0, 1000):
            blob = self.blobs.blobs[segment.blob_key]
            header = decode_header(blob[: segment.header_bytes])
            assert len(blob) == segment.header_bytes + segment.bytes
            assert sum(header.sizes) == segment.bytes
            numbers += header.lines
        found = await self.harness.store.get_batch(batch.tenant, batch.id)
        assert found
        assert found.completed + found.failed == len(numbers)
        return sorted(numbers)


def finish(run: ShardRun, lines: Sequence[LineCall], *, status: int = 200, body: bytes = b"{}") -> None:
    call = asyncio.current_task()
    assert call
    for line in lines:
        run.start(call, line)
        run.finish(call, line, Reply(status, body), Usage(1, 0, 1, 0, 2))


@pytest.fixture
def scene(harness: StoreHarness) -> Scene:
    return Scene(harness)


async def test_what_has_finished_is_recorded_once(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines[:3])
    finish(run, lines[3:5], status=400)
    await scene.writer.write()
    await scene.writer.write()
    assert await scene.recorded(batch) == [1, 2, 3, 4, 5]
    found = await scene.harness.store.get_batch("acme", batch.id)
    assert found
    assert (found.completed, found.failed, found.usage) == (3, 2, Usage(5, 0, 5, 0, 10))
    assert (run.finished, scene.writer._held_bytes) == ([], 0)


async def test_a_run_that_is_done_is_closed_and_its_shard_over(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines)
    await scene.writer.write()
    assert scene.closed == [run]
    assert len(await scene.harness.tasks(batch, TaskKind.FINALIZE)) == 1


async def test_a_run_without_lines_is_closed_at_once(scene: Scene) -> None:
    batch = await scene.harness.start_batch()
    run = ShardRun(await scene.harness.claim_one(TaskKind.RUN), batch, scene.note)
    scene.writer.add(run)
    await scene.writer.write()
    assert scene.closed == [run]


@pytest.mark.parametrize("failures", [1, 5])
@pytest.mark.parametrize("what", ["blobs", "before", "after"])
async def test_nothing_is_lost_or_recorded_twice_when_writing_fails(scene: Scene, what: str, failures: int) -> None:
    batch, run, lines = await scene.run()
    for number, line in enumerate(lines):
        finish(run, [line])
        if number == 2:
            scene.blobs.failures = failures if what == "blobs" else 0
            scene.queue.failures_before = failures if what == "before" else 0
            scene.queue.failures_after = failures if what == "after" else 0
        try:
            await scene.writer.write()
        except (OSError, ConnectionError):
            continue
    await scene.writer.write()
    await scene.writer.write()
    assert await scene.recorded(batch) == list(range(1, 11))
    assert scene.closed == [run]
    assert len(await scene.harness.tasks(batch, TaskKind.FINALIZE)) == 1


@pytest.mark.parametrize("what", ["blobs", "before", "after"])
async def test_it_keeps_trying_by_itself(scene: Scene, what: str) -> None:
    scene.make_journal(0.01)
    batch, run, lines = await scene.run()
    scene.blobs.failures = 3 if what == "blobs" else 0
    scene.queue.failures_before = 3 if what == "before" else 0
    scene.queue.failures_after = 3 if what == "after" else 0
    writing = asyncio.create_task(scene.writer.run())
    finish(run, lines)
    await until(lambda: scene.closed)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await scene.recorded(batch) == list(range(1, 11))


async def test_one_run_whose_bytes_are_refused_does_not_hold_the_others_up(scene: Scene) -> None:
    batch, run, lines = await scene.run(parts=2)
    other, others = scene.run_of(await scene.harness.claim_one(TaskKind.RUN), batch)
    finish(run, lines)
    finish(other, others)
    scene.blobs.failures = 1
    with pytest.raises(OSError, match="no space"):
        await scene.writer.write()
    assert len(scene.closed) == 1
    await scene.writer.write()
    assert set(scene.closed) == {run, other}
    assert len(await scene.recorded(batch)) == 20


async def test_a_shard_that_settles_while_it_is_written_waits_for_the_next_write_unless_it_was_the_last(
    scene: Scene,
) -> None:
    batch, first, lines = await scene.run(parts=2)
    second, others = scene.run_of(await scene.harness.claim_one(TaskKind.RUN), batch)
    writing = asyncio.create_task(scene.writer.run())
    for run, ahead, rest in ((first, lines[:5], lines[5:]), (second, others[:5], others[5:])):
        finish(run, ahead)
        scene.queue.then = lambda run=run, rest=rest: finish(run, rest)  # type: ignore[misc]  # a lambda's default
        await scene.writer.write()
        if run is first:
            for _ in range(100):
                await asyncio.sleep(0)
            assert scene.closed == []
    await until(lambda: len(scene.closed) == 2)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert len(await scene.recorded(batch)) == 20


async def test_a_lost_lease_closes_the_run_and_records_nothing(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines[:5])
    await scene.harness.expire_lease(run.task)
    await scene.harness.claim_one(TaskKind.RUN, "w2")
    await scene.writer.write()
    assert run.aborted
    assert scene.closed == [run]
    assert await scene.recorded(batch) == []


async def test_a_run_that_was_aborted_is_closed_and_nothing_of_it_recorded(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines[:5])
    run.abort()
    await scene.writer.write()
    assert scene.closed == [run]
    assert await scene.recorded(batch) == []


async def test_a_shard_that_comes_back_while_its_old_run_still_waits_to_be_recorded_is_a_run_of_its_own(
    scene: Scene,
) -> None:
    batch, old, lines = await scene.run()
    finish(old, lines[:5])
    scene.queue.failures_before = 1
    with pytest.raises(ConnectionError):
        await scene.writer.write()
    old.abort()
    await scene.harness.expire_lease(old.task)
    new, again = scene.run_of(await scene.harness.claim_one(TaskKind.RUN), batch)
    await scene.writer.write()
    finish(new, again)
    await scene.writer.write()
    await scene.writer.write()
    assert not new.aborted
    assert new in scene.closed
    assert await scene.recorded(batch) == list(range(1, 11))


@pytest.mark.parametrize("steps", range(5))
async def test_it_ends_when_it_is_cancelled_even_while_it_is_being_woken(scene: Scene, steps: int) -> None:
    writing = asyncio.create_task(scene.writer.run())
    await asyncio.sleep(0.01)
    scene.writer._wake.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    writing.cancel()
    ended, _ = await asyncio.wait([writing], timeout=0.5)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert ended, "the cancellation was swallowed: a worker that stops would wait for ever"


async def test_results_that_are_large_together_are_written_before_their_time(scene: Scene) -> None:
    batch, run, lines = await scene.run(parts=3)
    other, others = scene.run_of(await scene.harness.claim_one(TaskKind.RUN), batch)
    lost, gone = scene.run_of(await scene.harness.claim_one(TaskKind.RUN), batch)
    quarter = b'"' + b"x" * (MAX_HELD_BYTES // 4) + b'"'
    writing = asyncio.create_task(scene.writer.run())
    finish(lost, gone[:3], body=quarter)
    lost.abort()
    await until(lambda: scene.closed == [lost] and not scene.writer._wake.is_set())
    for first in (0, 3):  # what has been written, or was lost with its lease, counts no more
        finish(run, lines[first : first + 2], body=quarter)
        assert not scene.writer._wake.is_set()
        finish(run, lines[first + 2 : first + 3], body=quarter)
        finish(other, others[first : first + 1], body=quarter)
        await until(lambda: not run.finished and not other.finished)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await scene.recorded(batch) == [1, 1, 2, 3, 4, 4, 5, 6]


async def test_lines_that_finish_while_a_segment_is_written_go_into_the_next(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines[:5])
    writing = asyncio.create_task(scene.writer.write())
    await asyncio.sleep(0)
    finish(run, lines[5:])
    await writing
    await scene.writer.write()
    assert await scene.recorded(batch) == list(range(1, 11))
    assert scene.closed == [run]


async def test_a_wild_usage_of_one_line_does_not_hold_all_runs_up(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    call = asyncio.current_task()
    assert call
    body = b'{"usage":{"prompt_tokens":%b}}' % (b"9" * 40)
    for line in lines:
        run.start(call, line)
        run.finish(call, line, Reply(200, body), read_usage(body))
    await scene.writer.write()
    assert await scene.recorded(batch) == list(range(1, 11))


async def test_the_next_holder_of_a_shard_writes_under_keys_of_its_own(scene: Scene) -> None:
    batch, run, lines = await scene.run()
    finish(run, lines[:5])
    await scene.writer.write()
    await scene.harness.expire_lease(run.task)
    again = await scene.harness.claim_one(TaskKind.RUN, "w2")
    other, rest = scene.run_of(replace(again), batch)
    finish(other, rest[5:])
    await scene.writer.write()
    assert await scene.recorded(batch) == list(range(1, 11))
    assert len(scene.blobs.blobs) == 2
