"""The format of a segment: finished lines of one shard, in input order.

{"lines":[12,13,17],"sizes":[210,198,640],"failed":[17]}   header: lines, their bytes, failed lines
{"id":"batch_req_…","custom_id":…}                         then the lines themselves
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate, groupby

import msgspec

from batchwire_server.core.records import Usage


class SegmentHeader(msgspec.Struct, frozen=True):
    """The lines of a segment.

    `lines` (ascending) and `sizes` are parallel; `failed` are line numbers.
    """

    lines: list[int]
    sizes: list[int]
    failed: list[int]


class FinishedLine(msgspec.Struct, frozen=True, gc=False):
    """A line of the output file, or of the error file if not `ok`, and its usage."""

    number: int
    text: bytes
    ok: bool
    usage: Usage


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SegmentHeader)


def encode_segment(finished: Iterable[FinishedLine]) -> tuple[bytes, bytes]:
    """Return the header (with its line feed) and the lines of a segment."""
    ordered = sorted(finished, key=lambda line: line.number)
    header = SegmentHeader(
        lines=[line.number for line in ordered],
        sizes=[len(line.text) for line in ordered],
        failed=[line.number for line in ordered if not line.ok],
    )
    return _encoder.encode(header) + b"\n", b"".join([line.text for line in ordered])


def decode_header(header: bytes) -> SegmentHeader:
    """Decode the header of a segment."""
    return _decoder.decode(header)


@dataclass(frozen=True, slots=True)
class Slice:
    """Adjacent lines of one segment that go to one file.

    Offsets are in bytes from the first line.
    """

    source: int
    lines: int
    start: int
    end: int
    ok: bool


def merge(headers: Sequence[SegmentHeader], unrun: Sequence[int]) -> list[Slice | int]:
    """Plan the merge of segments into the two result files, in input order.

    Args:
        headers: headers of the segments. `Slice.source` is an index into these.
        unrun: numbers of the lines that are in no segment, ascending.

    Returns:
        Slices to copy, with the numbers of `unrun` lines between them.

    Raises:
        ValueError: a line is in two segments, or in one and in `unrun`.
    """
    plan: list[Slice | int] = []
    numbers = [*(header.lines for header in headers), unrun]
    edges = [[0, *accumulate(header.sizes)] for header in headers]
    failed = [set(header.failed) for header in headers]
    heads = [(lines[0], source, 0) for source, lines in enumerate(numbers) if lines]
    heapify(heads)
    while heads:
        _, source, first = heappop(heads)
        lines = numbers[source]
        # Take lines up to the next line of another source.
        last = bisect_left(lines, heads[0][0], first) if heads else len(lines)
        if last == first:
            raise ValueError(f"line {lines[first]} is in two places")
        if last < len(lines):
            heappush(heads, (lines[last], source, last))
        if source == len(headers):
            plan.extend(lines[first:last])
            continue
        for ok, count in _runs(lines[first:last], failed[source]):
            plan.append(Slice(source, count, edges[source][first], edges[source][first + count], ok))
            first += count
    return plan


def _runs(lines: Sequence[int], failed: Collection[int]) -> Iterator[tuple[bool, int]]:
    """Yield the runs of lines with the same outcome: whether they are ok, and their number."""
    if not failed:
        yield True, len(lines)
        return
    for ok, run in groupby(lines, lambda number: number not in failed):
        yield ok, sum(1 for _ in run)
