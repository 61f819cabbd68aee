from __future__ import annotations

from batchwire_client import Backoff


def test_pauses_grow_up_to_the_longest_and_end_after_the_last_try() -> None:
    backoff = Backoff(first=1, factor=2, longest=5, tries=6)
    assert list(backoff.pauses(lambda: 0)) == [1, 2, 4, 5, 5]
    assert list(backoff.pauses(lambda: 1)) == [0.5, 1, 2, 2.5, 2.5]
    assert list(Backoff(tries=1).pauses()) == []
