"""A shard while a worker runs it: its lines, and the finished ones that wait to be recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

import msgspec

from batchwire_server.core import ids
from batchwire_server.core.lines import read_call, read_model, shard_lines
from batchwire_server.core.ports import BlobStore, TaskQueue
from batchwire_server.core.records import NO_USAGE, Batch, Shard, Task, Usage
from batchwire_server.core.results import (
    NoReply,
    Reply,
    error_line,
    response_line,
    wrap_as_error,
)
from batchwire_server.core.rewriting import rewrite_body
from batchwire_server.core.scheduling.line_states import LineState
from batchwire_server.core.segments import FinishedLine, decode_header


class LineCall(msgspec.Struct, eq=False, gc=False):
    """The call that one line stands for.

    Attributes:
        run: the shard that the line belongs to.
        number: the line's number in the input, from 1.
        custom_id: the caller's name for it, as JSON.
        body: what is sent to the upstream.
        attempts: failed calls that count towards the policy's maximum.
        refusals: failed calls that do not count.
        state: where the line stands; only `ShardRun` assigns it.
    """

    run: ShardRun
    number: int
    custom_id: bytes
    body: bytes
    attempts: int = 0
    refusals: int = 0
    state: LineState = LineState.WAITING


class ShardRun:
    """The lines of a shard that a worker holds.

    `core.scheduling.line_states` has the states of a line. After `stop` no line starts. A run is
    settled when nothing more will come of it here. After `abort` no result counts.

    Args:
        task: the leased shard.
        batch: the batch that it belongs to.
        on_progress: called when a line has finished, and when the run may have settled.

    Attributes:
        pending: number of lines that are neither in flight nor finished.
        in_flight: the calls in flight: the slots that make them.
        stopped, aborted, handed_over: whether `stop`, `abort`, `hand_over` was called.
        segments: number of segments written so far.
        finished: finished lines that are not recorded yet.
        uncounted_bytes: size of the finished lines that the result writer has not counted yet.
    """

    def __init__(self, task: Task, batch: Batch, on_progress: Callable[[ShardRun], None]) -> None:
        self.task = task
        self.batch = batch
        self.endpoint = batch.endpoint
        self.pending = 0
        self.in_flight: set[asyncio.Task[None]] = set()
        self.stopped = False
        self.aborted = False
        self.handed_over = False
        self.segments = 0
        self.finished: list[FinishedLine] = []
        self.uncounted_bytes = 0
        self._cancelled: set[asyncio.Task[None]] = set()
        self._on_progress = on_progress

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of this run."""
        return not self.in_flight and (self.stopped or not self.pending)

    @property
    def done(self) -> bool:
        """Whether the shard is over, and no other worker has to run the rest of it."""
        return self.settled and not (self.handed_over and self.pending)

    def add_lines(self, lines: Iterable[tuple[int, bytes]]) -> list[LineCall]:
        """Make calls of lines, given as number and text."""
        model, rules = self.batch.replace_model, self.batch.line_rules
        parsed = [(number, read_call(text)) for number, text in lines]
        calls = [
            LineCall(self, number, bytes(call.custom_id), rewrite_body(bytes(call.body), model, rules))
            for number, call in parsed
        ]
        self.pending += len(calls)
        return calls

    def start(self, call: asyncio.Task[None], line: LineCall) -> None:
        """Record that `call` makes the line's call."""
        line.state = LineState.IN_FLIGHT
        self.pending -= 1
        self.in_flight.add(call)

    def finish(self, call: asyncio.Task[None], line: LineCall, result: Reply | NoReply, usage: Usage | None) -> None:
        """Take a line's final result. `usage` is None if a reply is not JSON."""
        self.in_flight.discard(call)
        if self.aborted:
            line.state = LineState.CANCELLED
            return
        line_id = ids.line_id(self.batch.id, line.number)
        if isinstance(result, NoReply):
            text, ok = error_line(line_id, line.custom_id, result.kind), False
        else:
            ok = 200 <= result.status < 300
            if usage is None:
                result = Reply(result.status, wrap_as_error(result), result.request_id)
            text = response_line(line_id, line.custom_id, result)
        line.state = LineState.FINISHED
        self.finished.append(FinishedLine(line.number, text, ok, usage or NO_USAGE))
        self.uncounted_bytes += len(text)
        self._on_progress(self)

    def requeue(self, call: asyncio.Task[None], line: LineCall) -> None:
        """Record that a line in flight has come back without an attempt, and waits again."""
        self._come_back(call, line, LineState.WAITING)

    def delay(self, call: asyncio.Task[None], line: LineCall) -> None:
        """Record that a line in flight has failed, and waits for its retry."""
        self._come_back(call, line, LineState.DELAYED)

    def wake(self, line: LineCall) -> None:
        """Record that a delayed line may be called again."""
        line.state = LineState.WAITING

    def discard(self, line: LineCall) -> None:
        """Record that a waiting or delayed line of a stopped run was dropped from the queue."""
        line.state = LineState.CANCELLED

    def stop(self) -> None:
        """Start no more lines. Lines in flight may still finish."""
        self.stopped = True
        self._on_progress(self)

    def cancel(self) -> None:
        """Stop, and cancel the calls in flight. Finished lines still count."""
        self.stop()
        self.cancel_calls()

    def cancel_calls(self) -> None:
        """Cancel the calls in flight. Their lines are requeued."""
        for call in list(self.in_flight):
            self._cancelled.add(call)
            call.cancel()

    def was_cancelled(self, call: asyncio.Task[None]) -> bool:
        """Return True, once, if `cancel_calls` cancelled this call."""
        cancelled = call in self._cancelled
        self._cancelled.discard(call)
        return cancelled

    def hand_over(self) -> None:
        """Stop, and leave the pending lines to another worker."""
        self.handed_over = True
        self.stop()

    def abort(self) -> None:
        """Cancel, and drop later results: another worker holds the shard now."""
        self.aborted = True
        self.cancel()

    def _come_back(self, call: asyncio.Task[None], line: LineCall, state: LineState) -> None:
        line.state = state
        self.in_flight.discard(call)
        self.pending += 1
        if self.stopped:
            self._on_progress(self)


async def load(run: ShardRun, queue: TaskQueue, blobs: BlobStore) -> list[LineCall]:
    """Return the calls of a run's lines that have no recorded result."""
    task, shard, key = run.task, run.task.shard, run.batch.input_key
    assert shard
    assert key
    recorded: set[int] = set()
    for segment in await queue.segments_of(task) if task.epoch > 1 else ():  # the first holder finds none
        header = await blobs.read(segment.blob_key, 0, segment.header_bytes)
        recorded.update(decode_header(header).lines)
    piece = await blobs.read(key, shard.offset, shard.offset + shard.length)
    return run.add_lines(lines_to_run(piece, task, shard, recorded))


def lines_to_run(piece: bytes, task: Task, shard: Shard, recorded: set[int]) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of a shard's lines that have no recorded result.

    Args:
        piece: the byte range of the input that holds the shard.
        task: names the shard's model.
        shard: where the piece begins, and how many lines belong to the shard.
        recorded: numbers of the lines that have a result.
    """
    lines = list(shard_lines(piece, shard))
    shared = len(lines) != shard.lines  # lines of other models stand in this piece too
    name = msgspec.json.encode(task.model)[1:-1]
    for number, text in lines:
        if number not in recorded and not (shared and not _names(text, name, task.model)):
            yield number, text


def _names(text: bytes, name: bytes, model: str | None) -> bool:
    """Return True if a line names the model.

    `name` is the model's usual spelling in JSON. Most lines of other models lack it, and are not
    parsed.
    """
    return (name in text or b"\\" in text) and read_model(text) == model
