from __future__ import annotations

from batchwire_client._bytes import split_lines


def test_lines_may_span_pieces_and_blank_lines_are_skipped() -> None:
    assert list(split_lines([b"on", b"e\ntwo\n\n  \nth", b"ree"])) == [b"one", b"two", b"three"]
