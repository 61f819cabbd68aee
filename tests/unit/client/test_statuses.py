from __future__ import annotations

from batchwire import v1
from batchwire_client import status_word
from batchwire_client._statuses import word


def test_statuses_are_the_words_of_openai() -> None:
    assert status_word(v1.Batch(status=v1.BATCH_STATUS_IN_PROGRESS)) == "in_progress"
    assert word(v1.FileStatus.DESCRIPTOR, v1.FILE_STATUS_PROCESSED) == "processed"
    assert word(v1.BatchStatus.DESCRIPTOR, 99) == "99"
