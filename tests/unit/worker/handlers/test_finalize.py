"""Finalizing: segments become two files in input order."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest, ShardReport
from batchwire_server.core.records import Batch, Segment, Task, TaskKind, Usage
from batchwire_server.core.results import Reply, response_line
from batchwire_server.core.segments import FinishedLine, encode_segment
from batchwire_server.core.shards import ShardCutter
from batchwire_server.worker.handlers import finalize as finalizer

from tests.ports.stores import RUN_KINDS, TTL
from tests.unit.worker.environment import Environment, input_line

S = BatchStatus


class RecordedBatch:
    """A batch whose lines the test records."""

    def __init__(self, env: Environment, models: str, window: int) -> None:
        self.env = env
        self.models = models
        self.window = window
        self.tasks: list[Task] = []

    async def start(self) -> Batch:
        lines = [input_line(number, model) for number, model in enumerate(self.models, 1)]
        batch = await self.env.batch(b"".join(lines))
        cutter = ShardCutter(1 << 40, max_lines=self.window)
        offset = 0
        for number, (model, text) in enumerate(zip(self.models, lines, strict=True), 1):
            cutter.add(model, number, offset, len(text))
            offset += len(text)
        cutter.close()
        await self.env.store.accept(await self.env.harness.claim_one(TaskKind.VALIDATE), None, cutter.shards)
        self.tasks = await self.env.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=99))
        self.batch = await self.env.current(batch)
        return self.batch

    def holder(self, number: int) -> Task:
        """Return the task of the shard that a line belongs to."""
        (task,) = [
            task
            for task in self.tasks
            if task.shard and task.model == self.models[number - 1] and task.shard.window == (number - 1) // self.window
        ]
        return task

    async def record(self, numbers: Iterable[int], key: str, *, failed: Iterable[int] = (), pad: int = 0) -> None:
        """Record lines of one shard as one segment."""
        bad = set(failed)
        finished = [
            FinishedLine(
                number,
                response_line(
                    b"batch_req_%b%07d" % (b"0" * 32, number),
                    b'"id-%d"' % number,
                    Reply(400 if number in bad else 200, b'{"n":%d,"pad":"%b"}' % (number, b"x" * pad)),
                ),
                number not in bad,
                Usage(),
            )
            for number in numbers
        ]
        task = self.holder(finished[0].number)
        header, data = encode_segment(finished)
        blob_key = f"segments/{self.batch.id}/{key}"
        await self.env.blobs.put(blob_key, header + data)
        segment = Segment(
            task.id, blob_key, len(header), len(data), len(finished) - len(bad), len(bad), Usage(len(finished))
        )
        await self.env.store.record([ShardReport(task, segment, done=False)])

    async def finish(self) -> Batch:
        """Complete all shards, and finalize the batch."""
        await self.env.store.record([ShardReport(task, None, done=True) for task in self.tasks])
        await self.env.finalizer()(await self.env.harness.claim_one(TaskKind.FINALIZE))
        return await self.env.current(self.batch)


def numbers(entries: list[dict[str, object]]) -> list[int]:
    return [int(str(entry["custom_id"]).removeprefix("id-")) for entry in entries]


async def test_files_are_in_input_order_whatever_the_order_of_segments(env: Environment) -> None:
    recorded = RecordedBatch(env, "mmmmmmmmmm", window=5)
    await recorded.start()
    await recorded.record([9, 7], "a", failed=[9])
    await recorded.record([4, 1], "b")
    await recorded.record([10, 6, 8], "c", failed=[6])
    await recorded.record([5, 3, 2], "d", failed=[3])
    batch = await recorded.finish()
    output, errors = await env.files(batch)
    assert batch.status is S.COMPLETED
    assert numbers(output) == [1, 2, 4, 5, 7, 8, 10]
    assert numbers(errors) == [3, 6, 9]


async def test_lines_of_several_models_are_in_input_order(env: Environment) -> None:
    recorded = RecordedBatch(env, "mnmnnmom", window=4)
    await recorded.start()
    for key, chosen in (("a", [1, 3]), ("b", [2, 4]), ("c", [5]), ("d", [6, 8]), ("e", [7])):
        await recorded.record(chosen, key, failed=[chosen[0]] if key == "b" else [])
    batch = await recorded.finish()
    output, errors = await env.files(batch)
    assert numbers(output) == [1, 3, 4, 5, 6, 7, 8]
    assert numbers(errors) == [2]


async def test_a_file_without_lines_is_not_created(env: Environment) -> None:
    fine = RecordedBatch(env, "mm", window=5)
    await fine.start()
    await fine.record([1, 2], "a")
    done = await fine.finish()
    assert (done.output_file_id is None, done.error_file_id is None) == (False, True)
    bad = RecordedBatch(env, "mm", window=5)
    await bad.start()
    await bad.record([1, 2], "a", failed=[1, 2])
    done = await bad.finish()
    assert (done.output_file_id is None, done.error_file_id is None) == (True, False)
    assert (done.status, done.failed) == (S.COMPLETED, 2)


@pytest.mark.parametrize("models", ["mmmmmm", "mnmnmn"])
async def test_lines_that_never_ran_before_a_cancel_get_error_lines(env: Environment, models: str) -> None:
    recorded = RecordedBatch(env, models, window=4)
    await recorded.start()
    await recorded.record([3], "a")
    await recorded.record([1], "b", failed=[1])
    await env.store.cancel_batch("acme", recorded.batch.id)
    batch = await recorded.finish()
    output, errors = await env.files(batch)
    assert batch.status is S.CANCELLED
    assert numbers(output) == [3]
    assert numbers(errors) == [1, 2, 4, 5, 6]
    assert [entry["error"] and entry["error"]["code"] for entry in errors] == [None, *["batch_cancelled"] * 4]
    assert all((entry["response"] is None) == (entry["error"] is not None) for entry in errors)


async def test_lines_that_never_ran_before_expiry_get_error_lines(env: Environment) -> None:
    recorded = RecordedBatch(env, "mnm", window=4)
    await recorded.start()
    await recorded.record([2], "a")
    await env.harness.advance(2 * 86400)
    await env.store.expire(await env.harness.claim_one(TaskKind.EXPIRE, "w2"))
    batch = await recorded.finish()
    output, errors = await env.files(batch)
    assert batch.status is S.EXPIRED
    assert numbers(output) == [2]
    assert [entry["error"]["code"] for entry in errors] == ["batch_expired"] * 2


async def test_a_batch_cancelled_before_validation_has_no_files(env: Environment) -> None:
    batch = await env.batch(input_line(1))
    await env.store.cancel_batch("acme", batch.id)
    await env.finalizer()(await env.harness.claim_one(TaskKind.FINALIZE))
    found = await env.current(batch)
    assert (found.status, found.output_file_id, found.error_file_id) == (S.CANCELLED, None, None)


async def test_large_segments_are_read_slice_by_slice(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalizer, "SMALL_SEGMENT", 1000)
    most = 0
    read = env.blobs.read

    async def measured(key: str, start: int, end: int) -> bytes:
        nonlocal most
        most = max(most, end - start if key.startswith("segments/") else 0)
        return await read(key, start, end)

    monkeypatch.setattr(env.blobs, "read", measured)
    recorded = RecordedBatch(env, "m" * 40, window=40)
    await recorded.start()
    await recorded.record(range(1, 41, 2), "odd", pad=500)
    await recorded.record(range(2, 41, 2), "even", pad=500, failed=[2, 20])
    output, errors = await env.files(await recorded.finish())
    assert numbers(output) == [number for number in range(1, 41) if number not in {2, 20}]
    assert numbers(errors) == [2, 20]
    assert most < 1500


async def test_a_worker_that_lost_the_lease_leaves_no_file(env: Environment) -> None:
    recorded = RecordedBatch(env, "mm", window=5)
    await recorded.start()
    await recorded.record([1, 2], "a", failed=[2])
    await env.store.record([ShardReport(task, None, done=True) for task in recorded.tasks])
    task = await env.harness.claim_one(TaskKind.FINALIZE)
    await env.harness.expire_lease(task)
    again = await env.harness.claim_one(TaskKind.FINALIZE, "w2")
    before = set(env.blobs.blobs)
    with pytest.raises(LeaseLostError):
        await env.finalizer()(task)
    assert set(env.blobs.blobs) == before
    await env.finalizer()(again)
    await env.files(recorded.batch)


async def test_files_have_the_batchs_name_and_lifetime(env: Environment) -> None:
    recorded = RecordedBatch(env, "mm", window=5)
    await recorded.start()
    await recorded.record([1, 2], "a", failed=[2])
    batch = await recorded.finish()
    for file_id, name in ((batch.output_file_id, "output"), (batch.error_file_id, "error")):
        file = await env.store.get_file("acme", str(file_id))
        assert file
        assert (file.filename, file.purpose) == (f"{batch.id}_{name}.jsonl", "batch_output")
        assert file.expires_at == file.created_at + 3_600_000
