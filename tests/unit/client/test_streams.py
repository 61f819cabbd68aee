from __future__ import annotations

from batchwire_client._transport.sync_streams import Deadline


def test_a_deadline_limits_pauses() -> None:
    assert Deadline(0).limit(5) == 0
    assert Deadline(None).limit(5) == 5
    assert Deadline(None).left() is None
