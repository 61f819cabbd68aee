from __future__ import annotations

from batchwire_client._transport.sync_sources import in_chunks


def test_all_chunks_but_the_last_have_the_same_size() -> None:
    assert list(in_chunks([b"a", b"bcdefg", memoryview(b"h"), b"", b"ij"], 4)) == [b"abcd", b"efgh", b"ij"]
    assert list(in_chunks([], 4)) == []
