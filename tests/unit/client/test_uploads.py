from __future__ import annotations

import hashlib
from pathlib import Path

import grpc
import pytest
from batchwire import v1
from batchwire_client import Client, Conflict, InvalidRequest, NotFound, ServerUnavailable

from tests.unit.client.fake_server import Failure, FakeServer

CONTENT = bytes(range(256)) * 40


def test_complete_joins_parts_in_the_given_order(client: Client, server: FakeServer) -> None:
    upload = client.uploads.create(filename="x.jsonl", size=len(CONTENT))
    second = client.uploads.add_part(upload.id, CONTENT[5000:])
    first = client.uploads.add_part(upload.id, [CONTENT[:100], CONTENT[100:5000]])
    done = client.uploads.complete(
        upload.id, [first.id, second.id], md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    )
    assert server.files[done.file.id][1] == CONTENT
    assert done.status == v1.UPLOAD_STATUS_COMPLETED


def test_create_sends_all_arguments(client: Client, server: FakeServer) -> None:
    client.uploads.create(filename="x", size=7, purpose="user_data", mime_type="text/plain", expires_after=3600)
    assert server.requests["CreateUpload"] == [
        v1.CreateUploadRequest(
            filename="x",
            bytes=7,
            purpose="user_data",
            mime_type="text/plain",
            expires_after=v1.ExpiresAfter(anchor="created_at", seconds=3600),
        )
    ]


def test_create_is_not_retried(client: Client, server: FakeServer) -> None:
    server.unavailable("CreateUpload")
    with pytest.raises(ServerUnavailable):
        client.uploads.create(filename="x", size=1)
    assert server.calls == ["CreateUpload"]


def test_add_part_is_not_retried(client: Client, server: FakeServer) -> None:
    upload_id = client.uploads.create(filename="x", size=1).id
    server.unavailable("AddUploadPart")
    with pytest.raises(ServerUnavailable):
        client.uploads.add_part(upload_id, b"x")
    assert server.calls.count("AddUploadPart") == 1


def test_complete_and_cancel_are_retried(client: Client, server: FakeServer) -> None:
    server.unavailable("CancelUpload")
    given_up = client.uploads.cancel(client.uploads.create(filename="x", size=1).id)
    assert given_up.status == v1.UPLOAD_STATUS_CANCELLED
    upload = client.uploads.create(filename="x", size=1)
    part = client.uploads.add_part(upload.id, b"x")
    server.unavailable("CompleteUpload")
    assert client.uploads.complete(upload.id, [part.id]).file.bytes == 1


def test_refused_calls_raise_typed_errors(client: Client) -> None:
    with pytest.raises(NotFound):
        client.uploads.cancel("upload_x")
    upload = client.uploads.create(filename="x", size=1)
    part = client.uploads.add_part(upload.id, b"x")
    with pytest.raises(InvalidRequest) as caught:
        client.uploads.complete(upload.id, [part.id], md5="0" * 32)
    assert (caught.value.reason, caught.value.param) == ("CONTENT_MISMATCH", "md5")
    client.uploads.complete(upload.id, [part.id])
    with pytest.raises(Conflict):
        client.uploads.cancel(upload.id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.jsonl"
    path.write_bytes(CONTENT)
    return path


def test_upload_in_parts_sends_all_parts_and_reports_progress(client: Client, server: FakeServer, path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    file = client.uploads.upload_in_parts(path, 1000, parallel=3, progress=lambda *now: reported.append(now))
    assert server.files[file.id][1] == CONTENT
    assert file.filename == "large.jsonl"
    assert server.calls.count("AddUploadPart") == 11
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(reported) == reported


def test_upload_in_parts_sends_a_broken_part_again(client: Client, server: FakeServer, path: Path) -> None:
    server.unavailable("AddUploadPart", times=2)
    file = client.uploads.upload_in_parts(path, 4000)
    assert server.files[file.id][1] == CONTENT
    assert server.calls.count("AddUploadPart") == 5


def test_upload_in_parts_cancels_the_upload_if_a_part_is_refused(
    client: Client, server: FakeServer, path: Path
) -> None:
    server.fail("AddUploadPart", Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="FILE_TOO_LARGE"))
    with pytest.raises(InvalidRequest):
        client.uploads.upload_in_parts(path, 4000)
    assert [u.status for u in server.uploads.values()] == [v1.UPLOAD_STATUS_CANCELLED]
    assert not server.files


@pytest.mark.parametrize(("part_size", "parallel"), [(0, 1), (1, 0)])
def test_upload_in_parts_refuses_sizes_below_one(client: Client, path: Path, part_size: int, parallel: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        client.uploads.upload_in_parts(path, part_size, parallel=parallel)
