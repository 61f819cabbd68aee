"""The format of a segment: finished lines of one shard, in the order of the input.

{"lines":[12,13,17],"sizes":[210,198,640],"failed":[17]}   header: line numbers, sizes in bytes, which of them failed
{"id":"batch_req_…","custom_id":…}                         then the lines themselves
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from batchwire_server.core.records import Usage


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a segment holds: parallel lists, ascending by line number. `failed` names the lines for the error file."""

    lines: list[int]
    sizes: list[int]
    failed: list[int]


class FinishedLine(msgspec.Struct, frozen=True, gc=False):
    """A line of the output file, or of the error file when `ok` is false, and what it used."""

    number: int
    text: bytes
    ok: bool
    usage: Usage


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SegmentHeader)


def encode_segment(finished: Iterable[FinishedLine]) -> tuple[bytes, bytes]:
    """Returns the header (with its line feed) and the lines of a segment."""
    ordered = sorted(finished, key=lambda line: line.number)
    header = SegmentHeader(
        lines=[line.number for line in ordered],
        sizes=[len(line.text) for line in ordered],
        failed=[line.number for line in ordered if not line.ok],
    )
    return _encoder.encode(header) + b"\n", b"".join([line.text for line in ordered])


def decode_header(header: bytes) -> SegmentHeader:
    """Reads a segment's header."""
    return _decoder.decode(header)


@dataclass(frozen=True, slots=True)
class Slice:
    """Neighbouring lines of one segment that go to one file. Offsets count from the first line, in bytes."""

    source: int
    start: int
    end: int
    ok: bool


def merge(headers: Sequence[SegmentHeader], unrun: Sequence[int]) -> list[Slice | int]:
    """Plans how the lines of some segments become lines of the two files, in input order.

    Args:
        headers: the segments; `Slice.source` is an index into them.
        unrun: numbers of the lines that are in none of them.

    Returns:
        slices to copy, and line numbers of `unrun` lines where those belong.
    """
    entries: list[tuple[int, int, int, int, bool]] = [(number, -1, 0, 0, False) for number in unrun]
    for source, header in enumerate(headers):
        failed = set(header.failed)
        ends = accumulate(header.sizes)
        entries.extend(
            (number, source, end - size, end, number not in failed)
            for number, size, end in zip(header.lines, header.sizes, ends, strict=True)
        )
    entries.sort()
    plan: list[Slice | int] = []
    current: tuple[int, int, int, bool] | None = None
    for number, source, start, end, ok in entries:
        if current and current[0] == source and current[2] == start and current[3] == ok:
            current = (source, current[1], end, ok)
            continue
        if current:
            plan.append(Slice(*current))
        current = (source, start, end, ok) if source >= 0 else None
        if source < 0:
            plan.append(number)
    if current:
        plan.append(Slice(*current))
    return plan
