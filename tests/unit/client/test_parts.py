from __future__ import annotations

from batchwire_client._parts import Part, UploadProgress, parts_of


def test_parts_cover_a_file_without_gaps() -> None:
    assert parts_of(10, 4) == [Part(0, 0, 4), Part(1, 4, 4), Part(2, 8, 2)]
    assert parts_of(0, 4) == []


def test_a_part_that_is_sent_again_counts_from_its_start() -> None:
    totals: list[int] = []
    progress = UploadProgress(10, lambda sent, _: totals.append(sent))
    progress.of(0)(4, 5)
    progress.of(1)(3, 5)
    progress.of(0)(1, 5)
    assert totals == [4, 7, 4]
