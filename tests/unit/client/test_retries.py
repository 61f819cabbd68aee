from batchwire_client import Backoff
from batchwire_client._transport.deadline import Deadline


def test_pauses_grow_up_to_a_limit_and_end_with_the_tries() -> None:
    backoff = Backoff(first=1, factor=2, longest=5, tries=6)
    assert list(backoff.pauses(lambda: 0)) == [1, 2, 4, 5, 5]
    assert list(backoff.pauses(lambda: 1)) == [0.5, 1, 2, 2.5, 2.5]
    assert list(Backoff(tries=1).pauses()) == []


def test_a_deadline_shortens_pauses() -> None:
    assert Deadline(0).cut(5) == 0
    assert Deadline(None).cut(5) == 5
    assert Deadline(None).left() is None
