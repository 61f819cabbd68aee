"""The result writer: finished lines are recorded once, whatever fails meanwhile."""

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
    """Blobs whose next writes fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    async def put(self, key: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")
        await super().put(key, data)


class FlakyQueue:
    """The recording part of a queue, which fails before or after it has recorded."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self.failures_before = 0
        self.failures_after = 0
        self.then: Callable[[], None] = lambda: None  # called once, while it records

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        if self.failures_before:
            self.failures_before -= 1
            raise ConnectionError("the database is unreachable")
        lost = await self._queue.record(reports)
        then, self.then = self.then, lambda: None
        then()
        if self.failures_after:
            self.failures_after -= 1
            raise ConnectionError("the answer is lost")
        return lost


class WriterEnvironment:
    """A result writer, and runs of ten lines."""

    def __init__(self, harness: StoreHarness) -> None:
        self.harness = harness
        self.blobs = FlakyBlobs()
        self.queue = FlakyQueue(harness.store)
        self.closed: list[ShardRun] = []
        self.writer = self.make_writer(NEVER)

    def make_writer(self, interval_s: float) -> ResultWriter:
        self.writer = ResultWriter(self.queue, self.blobs, interval_s, self.closed.append)  # type: ignore[arg-type]  # it only records
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
        """Return the numbers of the recorded lines, with repetitions."""
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
def env(harness: StoreHarness) -> WriterEnvironment:
    return WriterEnvironment(harness)


async def test_finished_lines_are_recorded_once(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines[:3])
    finish(run, lines[3:5], status=400)
    await env.writer.write()
    await env.writer.write()
    assert await env.recorded(batch) == [1, 2, 3, 4, 5]
    found = await env.harness.store.get_batch("acme", batch.id)
    assert found
    assert (found.completed, found.failed, found.usage) == (3, 2, Usage(5, 0, 5, 0, 10))
    assert (run.finished, env.writer._held_bytes) == ([], 0)


async def test_a_run_that_is_done_is_closed_and_its_shard_is_completed(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines)
    await env.writer.write()
    assert env.closed == [run]
    assert len(await env.harness.tasks(batch, TaskKind.FINALIZE)) == 1


async def test_a_run_without_lines_is_closed_at_once(env: WriterEnvironment) -> None:
    batch = await env.harness.start_batch()
    run = ShardRun(await env.harness.claim_one(TaskKind.RUN), batch, env.note)
    env.writer.add(run)
    await env.writer.write()
    assert env.closed == [run]


@pytest.mark.parametrize("failures", [1, 5])
@pytest.mark.parametrize("what", ["blobs", "before", "after"])
async def test_nothing_is_lost_or_recorded_twice_when_writing_fails(
    env: WriterEnvironment, what: str, failures: int
) -> None:
    batch, run, lines = await env.run()
    for number, line in enumerate(lines):
        finish(run, [line])
        if number == 2:
            env.blobs.failures = failures if what == "blobs" else 0
            env.queue.failures_before = failures if what == "before" else 0
            env.queue.failures_after = failures if what == "after" else 0
        try:
            await env.writer.write()
        except (OSError, ConnectionError):
            continue
    await env.writer.write()
    await env.writer.write()
    assert await env.recorded(batch) == list(range(1, 11))
    assert env.closed == [run]
    assert len(await env.harness.tasks(batch, TaskKind.FINALIZE)) == 1


@pytest.mark.parametrize("what", ["blobs", "before", "after"])
async def test_failed_writes_are_retried(env: WriterEnvironment, what: str) -> None:
    env.make_writer(0.01)
    batch, run, lines = await env.run()
    env.blobs.failures = 3 if what == "blobs" else 0
    env.queue.failures_before = 3 if what == "before" else 0
    env.queue.failures_after = 3 if what == "after" else 0
    writing = asyncio.create_task(env.writer.run())
    finish(run, lines)
    await until(lambda: env.closed)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await env.recorded(batch) == list(range(1, 11))


async def test_a_run_whose_blob_is_refused_does_not_delay_the_others(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run(parts=2)
    other, others = env.run_of(await env.harness.claim_one(TaskKind.RUN), batch)
    finish(run, lines)
    finish(other, others)
    env.blobs.failures = 1
    with pytest.raises(OSError, match="no space"):
        await env.writer.write()
    assert len(env.closed) == 1
    await env.writer.write()
    assert set(env.closed) == {run, other}
    assert len(await env.recorded(batch)) == 20


async def test_a_shard_that_settles_during_a_write_waits_for_the_next_unless_it_is_the_last_of_its_batch(
    env: WriterEnvironment,
) -> None:
    batch, first, lines = await env.run(parts=2)
    second, others = env.run_of(await env.harness.claim_one(TaskKind.RUN), batch)
    writing = asyncio.create_task(env.writer.run())
    for run, ahead, rest in ((first, lines[:5], lines[5:]), (second, others[:5], others[5:])):
        finish(run, ahead)
        env.queue.then = lambda run=run, rest=rest: finish(run, rest)  # type: ignore[misc]  # a lambda's default
        await env.writer.write()
        if run is first:
            for _ in range(100):
                await asyncio.sleep(0)
            assert env.closed == []
    await until(lambda: len(env.closed) == 2)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert len(await env.recorded(batch)) == 20


async def test_a_lost_lease_closes_the_run_and_records_nothing(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines[:5])
    await env.harness.expire_lease(run.task)
    await env.harness.claim_one(TaskKind.RUN, "w2")
    await env.writer.write()
    assert run.aborted
    assert env.closed == [run]
    assert await env.recorded(batch) == []


async def test_an_aborted_run_is_closed_and_records_nothing(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines[:5])
    run.abort()
    await env.writer.write()
    assert env.closed == [run]
    assert await env.recorded(batch) == []


async def test_a_shard_that_is_claimed_again_is_independent_of_its_old_run(
    env: WriterEnvironment,
) -> None:
    batch, old, lines = await env.run()
    finish(old, lines[:5])
    env.queue.failures_before = 1
    with pytest.raises(ConnectionError):
        await env.writer.write()
    old.abort()
    await env.harness.expire_lease(old.task)
    new, again = env.run_of(await env.harness.claim_one(TaskKind.RUN), batch)
    await env.writer.write()
    finish(new, again)
    await env.writer.write()
    await env.writer.write()
    assert not new.aborted
    assert new in env.closed
    assert await env.recorded(batch) == list(range(1, 11))


@pytest.mark.parametrize("steps", range(5))
async def test_cancelling_the_writer_ends_it_even_while_it_is_being_woken(env: WriterEnvironment, steps: int) -> None:
    writing = asyncio.create_task(env.writer.run())
    await asyncio.sleep(0.01)
    env.writer._wake.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    writing.cancel()
    ended, _ = await asyncio.wait([writing], timeout=0.5)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert ended, "the cancellation was swallowed: a worker that stops would wait for ever"


async def test_large_results_are_written_before_the_interval_is_over(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run(parts=3)
    other, others = env.run_of(await env.harness.claim_one(TaskKind.RUN), batch)
    lost, gone = env.run_of(await env.harness.claim_one(TaskKind.RUN), batch)
    quarter = b'"' + b"x" * (MAX_HELD_BYTES // 4) + b'"'
    writing = asyncio.create_task(env.writer.run())
    finish(lost, gone[:3], body=quarter)
    lost.abort()
    await until(lambda: env.closed == [lost] and not env.writer._wake.is_set())
    for first in (0, 3):  # written and aborted results no longer count
        finish(run, lines[first : first + 2], body=quarter)
        assert not env.writer._wake.is_set()
        finish(run, lines[first + 2 : first + 3], body=quarter)
        finish(other, others[first : first + 1], body=quarter)
        await until(lambda: not run.finished and not other.finished)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await env.recorded(batch) == [1, 1, 2, 3, 4, 4, 5, 6]


async def test_lines_that_finish_during_a_write_go_into_the_next_segment(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines[:5])
    writing = asyncio.create_task(env.writer.write())
    await asyncio.sleep(0)
    finish(run, lines[5:])
    await writing
    await env.writer.write()
    assert await env.recorded(batch) == list(range(1, 11))
    assert env.closed == [run]


async def test_an_excessive_usage_of_one_line_does_not_block_the_writer(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    call = asyncio.current_task()
    assert call
    body = b'{"usage":{"prompt_tokens":%b}}' % (b"9" * 40)
    for line in lines:
        run.start(call, line)
        run.finish(call, line, Reply(200, body), read_usage(body))
    await env.writer.write()
    assert await env.recorded(batch) == list(range(1, 11))


async def test_the_next_holder_of_a_shard_writes_under_other_keys(env: WriterEnvironment) -> None:
    batch, run, lines = await env.run()
    finish(run, lines[:5])
    await env.writer.write()
    await env.harness.expire_lease(run.task)
    again = await env.harness.claim_one(TaskKind.RUN, "w2")
    other, rest = env.run_of(replace(again), batch)
    finish(other, rest[5:])
    await env.writer.write()
    assert await env.recorded(batch) == list(range(1, 11))
    assert len(env.blobs.blobs) == 2
