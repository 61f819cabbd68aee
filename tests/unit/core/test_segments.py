"""Segments, and their merge into the two result files."""

from __future__ import annotations

from typing import Any

import pytest
from batchwire_server.core.records import Usage
from batchwire_server.core.segments import FinishedLine, SegmentHeader, Slice, decode_header, encode_segment, merge
from hypothesis import given
from hypothesis import strategies as st


def line(number: int, text: bytes = b"x\n", *, ok: bool = True) -> FinishedLine:
    return FinishedLine(number, text, ok, Usage())


def merged(parts: list[tuple[SegmentHeader, bytes]], unrun: list[int]) -> tuple[bytes, bytes]:
    """Carry out a plan; return the output and the error file."""
    output, errors = b"", b""
    for step in merge([header for header, _ in parts], unrun):
        if isinstance(step, int):
            errors += b"unrun %d\n" % step
            continue
        text = parts[step.source][1][step.start : step.end]
        assert text.count(b"\n") == step.lines
        if step.ok:
            output += text
        else:
            errors += text
    return output, errors


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[FinishedLine], list[int], list[list[FinishedLine]]]:
    """Draw lines, some of which never ran, and segments with the others."""
    count = draw(st.integers(0, 40))
    fates: list[Any] = [draw(st.sampled_from(["ok", "failed", "unrun"])) for _ in range(count)]
    texts = [b"%d %b\n" % (number, b"t" * draw(st.integers(0, 5))) for number in range(1, count + 1)]
    ran = [line(number, texts[number - 1], ok=fate == "ok") for number, fate in enumerate(fates, 1) if fate != "unrun"]
    unrun = [number for number, fate in enumerate(fates, 1) if fate == "unrun"]
    segments: list[list[FinishedLine]] = [[] for _ in range(draw(st.integers(1, 5)))]
    for one in draw(st.permutations(ran)):
        segments[draw(st.integers(0, len(segments) - 1))].append(one)
    return ran, unrun, [segment for segment in segments if segment]


@given(histories())
def test_every_line_goes_to_its_file_exactly_once_and_in_order(
    history: tuple[list[FinishedLine], list[int], list[list[FinishedLine]]],
) -> None:
    ran, unrun, segments = history
    parts = [(decode_header(header), data) for header, data in map(encode_segment, segments)]
    output, errors = merged(parts, unrun)
    assert output == b"".join(one.text for one in ran if one.ok)
    expected = {one.number: one.text for one in ran if not one.ok} | {n: b"unrun %d\n" % n for n in unrun}
    assert errors == b"".join(text for _, text in sorted(expected.items()))


@given(st.lists(st.tuples(st.integers(1, 99), st.binary(min_size=1, max_size=9), st.booleans()), max_size=20))
def test_a_segment_lists_its_lines_in_input_order(drawn: list[tuple[int, bytes, bool]]) -> None:
    finished = {number: line(number, text, ok=ok) for number, text, ok in drawn}
    header, data = encode_segment(finished.values())
    assert header.endswith(b"\n")
    assert header.count(b"\n") == 1
    read = decode_header(header)
    assert read.lines == sorted(finished)
    assert read.failed == sorted(number for number, one in finished.items() if not one.ok)
    assert data == b"".join(finished[number].text for number in sorted(finished))
    assert read.sizes == [len(finished[number].text) for number in sorted(finished)]


def test_adjacent_lines_of_a_segment_are_copied_in_one_slice() -> None:
    header = SegmentHeader([1, 2, 3, 5], [2, 2, 2, 2], [])
    assert merge([header], [4]) == [Slice(0, 3, 0, 6, ok=True), 4, Slice(0, 1, 6, 8, ok=True)]


def test_lines_of_interleaving_segments_alternate() -> None:
    odd, even = SegmentHeader([1, 3], [1, 1], []), SegmentHeader([2, 4], [1, 1], [4])
    assert merge([odd, even], []) == [
        Slice(0, 1, 0, 1, ok=True),
        Slice(1, 1, 0, 1, ok=True),
        Slice(0, 1, 1, 2, ok=True),
        Slice(1, 1, 1, 2, ok=False),
    ]


def test_a_line_that_is_in_two_places_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2 is in two places"):
        merge([SegmentHeader([1, 2], [1, 1], []), SegmentHeader([2, 3], [1, 1], [])], [])


def test_merging_no_segments_plans_nothing() -> None:
    assert merge([], []) == []
