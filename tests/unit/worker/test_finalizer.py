"""Finalizing: what was recorded becomes two files in the order of the input."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest, ShardReport
from batchwire_server.core.records import Batch, Segment, Task, TaskKind, Usage
from batchwire_server.core.results import Reply, answered_line
from batchwire_server.core.segments import FinishedLine, encode_segment
from batchwire_server.core.shards import ShardCutter
from batchwire_server.worker.handlers import finalize as finalizer

from tests.ports.stores import RUN_KINDS, TTL
from tests.unit.worker.world import Adapters, input_line

S = BatchStatus


class Scene:
    """A batch whose lines are recorded by hand."""

    def __init__(self, world: Adapters, models: str, window: int) -> None:
        self.world = world
        self.models = models
        self.window = window
        self.tasks: list[Task] = []

    async def start(self) -> Batch:
        lines = [input_line(number, model) for number, model in enumerate(self.models, 1)]
        batch = await self.world.batch(b"".join(lines))
        cutter = ShardCutter(1 << 40, max_lines=self.window)
        offset = 0
        for number, (model, text) in enumerate(zip(self.models, lines, strict=True), 1):
            cutter.add(model, number, offset, len(text))
            offset += len(text)
        cutter.close()
        await self.world.store.accept(await self.world.harness.claim_one(TaskKind.VALIDATE), None, cutter.shards)
        self.tasks = await self.world.store.claim(ClaimRequest("w1", RUN_KINDS, ttl_s=TTL, limit=99))
        self.batch = await self.world.see(batch)
        return self.batch

    def holder(self, number: int) -> Task:
        """Returns the task of the shard that a line belongs to."""
        (task,) = [
            task
            for task in self.tasks
            if task.shard and task.model == self.models[number - 1] and task.shard.window == (number - 1) // self.window
        ]
        return task

    async def record(self, numbers: Iterable[int], key: str, *, failed: Iterable[int] = (), pad: int = 0) -> None:
        """Records lines of one shard as one segment."""
        bad = set(failed)
        finished = [
            FinishedLine(
                number,
                answered_line(
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
        await self.world.blobs.put(blob_key, header + data)
        segment = Segment(
            task.id, blob_key, len(header), len(data), len(finished) - len(bad), len(bad), Usage(len(finished))
        )
        await self.world.store.record([ShardReport(task, segment, done=False)])

    async def finish(self) -> Batch:
        """Says that all shards are done, and finalizes."""
        await self.world.store.record([ShardReport(task, None, done=True) for task in self.tasks])
        await self.world.finalizer()(await self.world.harness.claim_one(TaskKind.FINALIZE))
        return await self.world.see(self.batch)


def numbers(entries: list[dict[str, object]]) -> list[int]:
    return [int(str(entry["custom_id"]).removeprefix("id-")) for entry in entries]


async def test_lines_stand_in_the_order_of_the_input_whatever_the_segments(world: Adapters) -> None:
    scene = Scene(world, "mmmmmmmmmm", window=5)
    await scene.start()
    await scene.record([9, 7], "a", failed=[9])
    await scene.record([4, 1], "b")
    await scene.record([10, 6, 8], "c", failed=[6])
    await scene.record([5, 3, 2], "d", failed=[3])
    batch = await scene.finish()
    output, errors = await world.files(batch)
    assert batch.status is S.COMPLETED
    assert numbers(output) == [1, 2, 4, 5, 7, 8, 10]
    assert numbers(errors) == [3, 6, 9]


async def test_lines_of_several_models_in_one_window_interleave_as_in_the_input(world: Adapters) -> None:
    scene = Scene(world, "mnmnnmom", window=4)
    await scene.start()
    for key, chosen in (("a", [1, 3]), ("b", [2, 4]), ("c", [5]), ("d", [6, 8]), ("e", [7])):
        await scene.record(chosen, key, failed=[chosen[0]] if key == "b" else [])
    batch = await scene.finish()
    output, errors = await world.files(batch)
    assert numbers(output) == [1, 3, 4, 5, 6, 7, 8]
    assert numbers(errors) == [2]


async def test_without_a_failure_there_is_no_error_file_and_without_a_success_no_output_file(world: Adapters) -> None:
    fine = Scene(world, "mm", window=5)
    await fine.start()
    await fine.record([1, 2], "a")
    done = await fine.finish()
    assert (done.output_file_id is None, done.error_file_id is None) == (False, True)
    bad = Scene(world, "mm", window=5)
    await bad.start()
    await bad.record([1, 2], "a", failed=[1, 2])
    done = await bad.finish()
    assert (done.output_file_id is None, done.error_file_id is None) == (True, False)
    assert (done.status, done.failed) == (S.COMPLETED, 2)


@pytest.mark.parametrize("models", ["mmmmmm", "mnmnmn"])
async def test_lines_that_never_ran_before_a_cancel_are_told_so(world: Adapters, models: str) -> None:
    scene = Scene(world, models, window=4)
    await scene.start()
    await scene.record([3], "a")
    await scene.record([1], "b", failed=[1])
    await world.store.cancel_batch("acme", scene.batch.id)
    batch = await scene.finish()
    output, errors = await world.files(batch)
    assert batch.status is S.CANCELLED
    assert numbers(output) == [3]
    assert numbers(errors) == [1, 2, 4, 5, 6]
    assert [entry["error"] and entry["error"]["code"] for entry in errors] == [None, *["batch_cancelled"] * 4]
    assert all((entry["response"] is None) == (entry["error"] is not None) for entry in errors)


async def test_lines_that_never_ran_in_time_are_told_so(world: Adapters) -> None:
    scene = Scene(world, "mnm", window=4)
    await scene.start()
    await scene.record([2], "a")
    await world.harness.advance(2 * 86400)
    await world.store.expire(await world.harness.claim_one(TaskKind.EXPIRE, "w2"))
    batch = await scene.finish()
    output, errors = await world.files(batch)
    assert batch.status is S.EXPIRED
    assert numbers(output) == [2]
    assert [entry["error"]["code"] for entry in errors] == ["batch_expired"] * 2


async def test_a_batch_that_was_cancelled_before_it_was_validated_leaves_no_files(world: Adapters) -> None:
    batch = await world.batch(input_line(1))
    await world.store.cancel_batch("acme", batch.id)
    await world.finalizer()(await world.harness.claim_one(TaskKind.FINALIZE))
    found = await world.see(batch)
    assert (found.status, found.output_file_id, found.error_file_id) == (S.CANCELLED, None, None)


async def test_large_segments_are_read_slice_by_slice(world: Adapters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalizer, "SMALL_SEGMENT", 1000)
    most = 0
    read = world.blobs.read

    async def measured(key: str, start: int, end: int) -> bytes:
        nonlocal most
        most = max(most, end - start if key.startswith("segments/") else 0)
        return await read(key, start, end)

    monkeypatch.setattr(world.blobs, "read", measured)
    scene = Scene(world, "m" * 40, window=40)
    await scene.start()
    await scene.record(range(1, 41, 2), "odd", pad=500)
    await scene.record(range(2, 41, 2), "even", pad=500, failed=[2, 20])
    output, errors = await world.files(await scene.finish())
    assert numbers(output) == [number for number in range(1, 41) if number not in {2, 20}]
    assert numbers(errors) == [2, 20]
    assert most < 1500


async def test_whoever_lost_the_lease_leaves_no_file_behind(world: Adapters) -> None:
    scene = Scene(world, "mm", window=5)
    await scene.start()
    await scene.record([1, 2], "a", failed=[2])
    await world.store.record([ShardReport(task, None, done=True) for task in scene.tasks])
    task = await world.harness.claim_one(TaskKind.FINALIZE)
    await world.harness.expire_lease(task)
    again = await world.harness.claim_one(TaskKind.FINALIZE, "w2")
    before = set(world.blobs.blobs)
    with pytest.raises(LeaseLostError):
        await world.finalizer()(task)
    assert set(world.blobs.blobs) == before
    await world.finalizer()(again)
    await world.files(scene.batch)


async def test_files_are_named_after_the_batch_and_live_as_long_as_it_says(world: Adapters) -> None:
    scene = Scene(world, "mm", window=5)
    await scene.start()
    await scene.record([1, 2], "a", failed=[2])
    batch = await scene.finish()
    for file_id, name in ((batch.output_file_id, "output"), (batch.error_file_id, "error")):
        file = await world.store.get_file("acme", str(file_id))
        assert file
        assert (file.filename, file.purpose) == (f"{batch.id}_{name}.jsonl", "batch_output")
        assert file.expires_at == file.created_at + 3_600_000
