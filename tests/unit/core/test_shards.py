"""Cutting an input into shards."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

from batchwire_server.core.lines import LineSplitter, RawLine, read_model
from batchwire_server.core.records import Shard, Task, TaskKind
from batchwire_server.core.shards import ShardCutter
from batchwire_server.worker.shard_run import lines_to_run
from hypothesis import given
from hypothesis import strategies as st

SIZE = 1 << 20


def text_of(model: str, padding: int) -> bytes:
    """Return a line whose model is spelled with or without JSON escapes."""
    name = json.dumps(model, ensure_ascii=padding % 2 == 0)
    if padding % 3 == 0:
        name = name.replace("/", "\\/")
    return b'{"custom_id":"x","body":{"model":%b,"p":"%b"}}' % (name.encode(), b"p" * padding)


def whole(data: bytes) -> list[RawLine]:
    splitter = LineSplitter(SIZE)
    return [*splitter.feed(data), *splitter.finish()]


def cut(data: bytes, **sizes: int) -> list[tuple[str, Shard]]:
    cutter = ShardCutter(len(data), **sizes)
    for line in whole(data):
        cutter.add(read_model(line.text or b""), line.number, line.offset, line.size)
    cutter.close()
    return cutter.shards


def run_lines(data: bytes, model: str, shard: Shard, done: set[int]) -> list[tuple[int, bytes]]:
    task = Task(1, TaskKind.RUN, 1, 1, 0, "batch_1", "t", model, 1, shard)
    return list(lines_to_run(data[shard.offset : shard.offset + shard.length], task, shard, done))


entries = st.lists(
    st.tuples(st.sampled_from(["m", "n", "", "ü", "org/ü", '"q"', "a\\b"]), st.integers(0, 300)), max_size=40
)
ends = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \r\n"])


def assemble(mix: list[tuple[str, int]], end: bytes, *, bom: bool, last_ended: bool) -> bytes:
    data = b"".join(text_of(model, padding) + end for model, padding in mix)
    return (b"\xef\xbb\xbf" if bom else b"") + (data if last_ended else data.removesuffix(end))


@given(entries, ends, st.booleans(), st.booleans(), st.integers(1, 9), st.integers(1, 2000))
def test_shards_cover_every_line_exactly_once(
    mix: list[tuple[str, int]], end: bytes, bom: bool, last_ended: bool, max_lines: int, max_bytes: int
) -> None:
    data = assemble(mix, end, bom=bom, last_ended=last_ended)
    shards = cut(data, max_lines=max_lines, max_bytes=max_bytes)
    covered = [line for model, shard in shards for line in run_lines(data, model, shard, set())]
    assert sorted(covered) == [(line.number, line.text) for line in whole(data)]
    for model, shard in shards:
        assert {read_model(text) for _, text in run_lines(data, model, shard, set())} == {model}
        assert len(run_lines(data, model, shard, set())) == shard.lines


@given(entries, st.integers(1, 9), st.sets(st.integers(1, 40)))
def test_lines_that_have_a_result_are_not_run_again(mix: list[tuple[str, int]], max_lines: int, done: set[int]) -> None:
    data = assemble(mix, b"\n", bom=False, last_ended=True)
    ran = {
        number for model, shard in cut(data, max_lines=max_lines) for number, _ in run_lines(data, model, shard, done)
    }
    assert ran == {line.number for line in whole(data)} - done


@given(entries, st.integers(1, 9), st.integers(1, 2000))
def test_windows_are_consecutive_and_never_overlap(mix: list[tuple[str, int]], max_lines: int, max_bytes: int) -> None:
    data = assemble(mix, b"\n", bom=False, last_ended=True)
    by_window: dict[int, list[Shard]] = defaultdict(list)
    for _, shard in cut(data, max_lines=max_lines, max_bytes=max_bytes):
        by_window[shard.window].append(shard)
    assert sorted(by_window) == list(range(len(by_window)))
    for shards in by_window.values():
        assert len({(shard.offset, shard.length, shard.first_line) for shard in shards}) == 1
        assert sum(shard.lines for shard in shards) <= max_lines
    firsts = [by_window[window][0] for window in sorted(by_window)]
    for before, after in pairwise(firsts):
        assert before.offset + before.length <= after.offset
        assert before.first_line < after.first_line


def test_a_line_larger_than_a_window_gets_a_window_of_its_own() -> None:
    data = assemble([("m", 5), ("m", 3000), ("m", 5)], b"\n", bom=False, last_ended=True)
    assert [shard.lines for _, shard in cut(data, max_bytes=1000)] == [1, 1, 1]


def test_windows_near_the_end_are_a_quarter_as_long() -> None:
    cutter = ShardCutter(16_000, max_lines=64)
    for number in range(1600):
        cutter.add("m", number + 1, number * 10, 10)
    cutter.close()
    sizes = [shard.lines for _, shard in cutter.shards]
    assert sizes[0] == 64
    assert sizes[-3:-1] == [16, 16]
    assert sum(sizes) == 1600


def test_an_input_without_lines_has_no_shards() -> None:
    assert cut(b"\n\n") == []


def test_closing_twice_adds_no_shard() -> None:
    cutter = ShardCutter(10)
    cutter.add("m", 1, 0, 10)
    cutter.close()
    cutter.close()
    assert len(cutter.shards) == 1
