"""A shard while it runs: its lines on their way, and those that have finished and wait to be made durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

import msgspec

from batchwire_server.core import ids
from batchwire_server.core.lines import lines_of, read_call, read_model
from batchwire_server.core.ports import BlobStore, TaskQueue
from batchwire_server.core.records import NO_USAGE, Batch, Shard, Task, Usage
from batchwire_server.core.results import (
    NoReply,
    Reply,
    answered_line,
    unanswered_line,
    wrapped,
)
from batchwire_server.core.rewriting import rewritten
from batchwire_server.core.segments import FinishedLine, decode_header


class LineCall(msgspec.Struct, eq=False, gc=False):
    """One line on its way."""

    run: ShardRun
    number: int
    custom_id: bytes
    body: bytes
    attempts: int = 0
    refusals: int = 0


class ShardRun:
    """The lines of a shard that a worker holds.

    A run is fed until `stop`, and settled when none of its lines waits or is in flight. After `abort` nothing that still comes in counts.

    Args:
        task: the leased shard.
        batch: whose it is.
        on_progress: called when a line has finished, and when the run has settled.
    """

    def __init__(self, task: Task, batch: Batch, on_progress: Callable[[ShardRun], None]) -> None:
        self.task = task
        self.batch = batch
        self.endpoint = batch.endpoint
        self.waiting = 0
        self.flying: set[asyncio.Task[None]] = set()
        self._cut: set[asyncio.Task[None]] = set()
        self.stopped = False
        self.aborted = False
        self.handed_over = False
        self.segments = 0
        self.finished: list[FinishedLine] = []
        self.fresh_bytes = 0  # of lines that have finished and that the journal has not counted yet
        self._on_progress = on_progress

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of this run."""
        return not self.flying and (self.stopped or not self.waiting)

    @property
    def done(self) -> bool:
        """Whether the shard is over for everybody, not only for this worker."""
        return self.settled and not (self.handed_over and self.waiting)

    def jobs(self, lines: Iterable[tuple[int, bytes]]) -> list[LineCall]:
        """Makes jobs of lines: their numbers and texts."""
        model, rules = self.batch.replace_model, self.batch.line_rules
        calls = [(number, read_call(text)) for number, text in lines]
        made = [
            LineCall(self, number, bytes(call.custom_id), rewritten(bytes(call.body), model, rules))
            for number, call in calls
        ]
        self.waiting += len(made)
        return made

    def take_off(self, call: asyncio.Task[None]) -> None:
        """Takes note that a line is in flight, within the task `call`."""
        self.waiting -= 1
        self.flying.add(call)

    def retry(self, call: asyncio.Task[None]) -> None:
        """Takes note that a line has come back and waits again."""
        self.flying.discard(call)
        self.waiting += 1
        if self.stopped:
            self._on_progress(self)

    def land(self, call: asyncio.Task[None], job: LineCall, result: Reply | NoReply, usage: Usage | None) -> None:
        """Takes a line's final result. `usage` is None when a reply is no JSON."""
        self.flying.discard(call)
        if self.aborted:
            return
        line_id = ids.line_id(self.batch.id, job.number)
        if isinstance(result, NoReply):
            text, ok = unanswered_line(line_id, job.custom_id, result.kind), False
        else:
            ok = 200 <= result.status < 300
            if usage is None:
                result = Reply(result.status, wrapped(result), result.request_id)
            text = answered_line(line_id, job.custom_id, result)
        self.finished.append(FinishedLine(job.number, text, ok, usage or NO_USAGE))
        self.fresh_bytes += len(text)
        self._on_progress(self)

    def drop(self, call: asyncio.Task[None]) -> None:
        """Takes note that a line in flight was cut off, and has still to be run."""
        self.flying.discard(call)
        self.waiting += 1
        self._on_progress(self)

    def stop(self) -> None:
        """Ends feeding: lines in flight may still come in."""
        self.stopped = True
        self._on_progress(self)

    def cut(self) -> None:
        """Ends feeding, and the lines in flight too; what has finished still counts."""
        self.stop()
        self.cut_off()

    def cut_off(self) -> None:
        """Ends the lines in flight: they have still to be run."""
        for call in list(self.flying):
            self._cut.add(call)
            call.cancel()

    def was_cut_off(self, call: asyncio.Task[None]) -> bool:
        """Tells a call that ends whether `cut_off` is why."""
        cut = call in self._cut
        self._cut.discard(call)
        return cut

    def hand_over(self) -> None:
        """Ends feeding, with the rest of the lines left for another worker."""
        self.handed_over = True
        self.stop()

    def abort(self) -> None:
        """Ends all: another worker holds the shard now."""
        self.aborted = True
        self.cut()


async def load(run: ShardRun, queue: TaskQueue, blobs: BlobStore) -> list[LineCall]:
    """Returns the lines of a run that have no result yet."""
    task, shard, key = run.task, run.task.shard, run.batch.input_key
    assert shard
    assert key
    done: set[int] = set()
    for segment in await queue.segments_of(task) if task.epoch > 1 else ():  # the first holder finds nothing
        header = await blobs.read(segment.blob_key, 0, segment.header_bytes)
        done.update(decode_header(header).lines)
    piece = await blobs.read(key, shard.offset, shard.offset + shard.length)
    return run.jobs(lines_to_run(piece, task, shard, done))


def lines_to_run(piece: bytes, task: Task, shard: Shard, done: set[int]) -> Iterator[tuple[int, bytes]]:
    """Yields number and text of the lines of a shard that have no result yet.

    Args:
        piece: the bytes of the input that hold the shard.
        task: names the shard's model.
        shard: where the piece stands.
        done: numbers of the lines that have a result.
    """
    lines = list(lines_of(piece, shard))
    shared = len(lines) != shard.lines  # other models have lines in this piece too
    name = msgspec.json.encode(task.model)[1:-1]
    for number, text in lines:
        if number not in done and not (shared and not _names(text, name, task.model)):
            yield number, text


def _names(text: bytes, name: bytes, model: str | None) -> bool:
    """Tells whether a line names a model, whose `name` is as it is most often written. Most lines that do not are told without being read."""
    return (name in text or b"\\" in text) and read_model(text) == model
