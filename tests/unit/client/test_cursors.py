from __future__ import annotations

import pytest
from batchwire import v1
from batchwire_client import CorruptDownload
from batchwire_client._transport.cursors import DownloadCursor


def test_a_download_with_another_sha256_is_corrupt() -> None:
    cursor = DownloadCursor("f")
    cursor.take(v1.DownloadFileResponse(file=v1.File(bytes=3, sha256="0" * 64)))
    with pytest.raises(CorruptDownload):
        cursor.take(v1.DownloadFileResponse(data=b"abc"))


def test_a_partial_download_resumes_with_the_missing_bytes() -> None:
    cursor = DownloadCursor("f", offset=10, limit=6)
    cursor.take(v1.DownloadFileResponse(file=v1.File(bytes=100)))
    cursor.take(v1.DownloadFileResponse(data=b"abcd"))
    assert cursor.request() == v1.DownloadFileRequest(file_id="f", offset=14, limit=2)
    assert not cursor.may_end()
    cursor.take(v1.DownloadFileResponse(data=b"ef"))
    assert cursor.complete()
