from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from batchwire import v1
from batchwire_client import (
    Backoff,
    Client,
    CorruptDownload,
    InvalidRequest,
    NotFound,
    RetryPolicy,
    ServerError,
    ServerUnavailable,
)
from batchwire_client._transport.sync_sources import Source

from tests.unit.client.fake_server import Failure, FakeServer

LINES = b'{"custom_id":"a"}\n{"custom_id":"b"}\n'


def stored(server: FakeServer, file: v1.File) -> bytes:
    return server.files[file.id][1]


def spec_of(server: FakeServer) -> v1.UploadFileSpec:
    (spec,) = server.requests["UploadFile"]
    assert isinstance(spec, v1.UploadFileSpec)
    return spec


def test_a_path_is_uploaded_with_its_name_and_size(client: Client, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(LINES)
    file = client.files.upload(path)
    assert stored(server, file) == LINES
    assert (spec_of(server).filename, spec_of(server).purpose, spec_of(server).bytes) == (
        "in.jsonl",
        "batch",
        len(LINES),
    )


@pytest.mark.parametrize(
    ("source", "size"),
    [
        (lambda: LINES, len(LINES)),
        (lambda: bytearray(LINES), len(LINES)),
        (lambda: io.BytesIO(LINES), len(LINES)),
        (lambda: [LINES[:5], LINES[5:]], None),
        (lambda: (piece for piece in (LINES,)), None),
    ],
    ids=["bytes", "bytearray", "file object", "list", "generator"],
)
def test_bytes_are_uploaded_from_any_source(
    connect: Callable[..., Client], server: FakeServer, source: Callable[[], Source], size: int | None
) -> None:
    file = connect(server.target).files.upload(source(), filename="x.jsonl")
    assert stored(server, file) == LINES
    assert (spec_of(server).bytes if spec_of(server).HasField("bytes") else None) == size


def test_an_open_file_is_uploaded_from_its_position(client: Client, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"skipped" + LINES)
    with path.open("rb") as file:
        file.seek(7)
        assert stored(server, client.files.upload(file)) == LINES
    assert (spec_of(server).filename, spec_of(server).bytes) == ("in.jsonl", len(LINES))


def test_upload_sends_all_arguments(client: Client, server: FakeServer) -> None:
    digest = hashlib.sha256(LINES).hexdigest()
    client.files.upload(LINES, filename="n.jsonl", purpose="user_data", expires_after=3600, sha256=digest)
    assert spec_of(server) == v1.UploadFileSpec(
        filename="n.jsonl",
        purpose="user_data",
        bytes=len(LINES),
        sha256=digest,
        expires_after=v1.ExpiresAfter(anchor="created_at", seconds=3600),
    )


def test_large_content_is_sent_in_messages_of_512_kib(client: Client, server: FakeServer) -> None:
    content = bytes(range(256)) * 4 * 1300
    assert stored(server, client.files.upload([content[:100], content[100:]])) == content
    assert server.message_sizes == [512 * 1024, 512 * 1024, len(content) - 1024 * 1024]


def test_progress_reports_bytes_sent_and_the_total(client: Client) -> None:
    reported: list[tuple[int, int | None]] = []
    client.files.upload(bytes(600 * 1024), progress=lambda sent, total: reported.append((sent, total)))
    assert reported == [(512 * 1024, 600 * 1024), (600 * 1024, 600 * 1024)]


def test_a_broken_upload_is_not_retried(client: Client, server: FakeServer) -> None:
    server.unavailable("UploadFile")
    with pytest.raises(ServerUnavailable):
        client.files.upload(LINES)
    assert server.calls == ["UploadFile"]
    assert not server.files


def test_a_refusal_during_an_upload_is_raised_with_its_reason(client: Client, server: FakeServer) -> None:
    server.fail("UploadFile", Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="FILE_TOO_LARGE"))
    with pytest.raises(InvalidRequest, match="made to fail") as caught:
        client.files.upload(bytes(1024 * 1024) for _ in range(64))
    assert caught.value.reason == "FILE_TOO_LARGE"


def test_an_error_of_the_source_is_raised_unchanged_and_stores_nothing(client: Client, server: FakeServer) -> None:
    def source() -> Iterator[bytes]:
        yield LINES
        raise LookupError("the source ran dry")

    with pytest.raises(LookupError, match="ran dry"):
        client.files.upload(source())
    server.stop()
    assert not server.files


def test_a_text_file_raises_type_error_and_stores_nothing(client: Client, server: FakeServer) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        client.files.upload(io.StringIO("text"))  # type: ignore[arg-type]  # what it refuses
    server.stop()
    assert not server.files


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_path_that_cannot_be_read_raises_os_error(
    client: Client, server: FakeServer, tmp_path: Path, name: str
) -> None:
    with pytest.raises(OSError, match=r"No such file|directory"):
        client.files.upload(tmp_path / name)
    assert server.calls == []


def test_get_returns_the_description_of_a_file(client: Client, server: FakeServer) -> None:
    file = server.store(LINES)
    assert client.files.get(file.id) == file


def test_a_missing_file_raises_not_found_with_its_id(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.files.get("file_x")
    assert caught.value.reason == "FILE_NOT_FOUND"
    assert caught.value.metadata == {"file_id": "file_x"}
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_get_is_retried_while_the_server_is_unavailable(client: Client, server: FakeServer) -> None:
    file = server.store(LINES)
    server.unavailable("GetFile", times=2)
    assert client.files.get(file.id) == file
    assert server.calls == ["GetFile"] * 3


def test_get_fails_after_the_last_try(client: Client, server: FakeServer) -> None:
    server.unavailable("GetFile", times=9)
    with pytest.raises(ServerUnavailable, match="made to fail"):
        client.files.get("file_x")
    assert server.calls == ["GetFile"] * 3


def test_an_internal_error_is_not_retried(client: Client, server: FakeServer) -> None:
    server.fail("GetFile", Failure(grpc.StatusCode.INTERNAL))
    with pytest.raises(ServerError):
        client.files.get("file_x")
    assert server.calls == ["GetFile"]


def test_an_unreachable_target_raises_server_unavailable(connect: Callable[..., Client]) -> None:
    with pytest.raises(ServerUnavailable):
        connect("127.0.0.1:1").files.get("file_x")


def test_list_yields_all_pages_in_the_given_order(client: Client, server: FakeServer) -> None:
    ids = [server.store(LINES).id for _ in range(5)]
    server.store(LINES, purpose="user_data")
    assert [file.id for file in client.files.list(purpose="batch", order="asc", page_size=2)] == ids
    assert server.calls == ["ListFiles"] * 3
    assert next(iter(client.files.list(purpose="batch"))).id == ids[-1]


def test_an_unknown_order_raises_value_error(client: Client) -> None:
    with pytest.raises(ValueError, match="asc, desc"):
        list(client.files.list(order="sideways"))


def test_delete_is_not_retried(client: Client, server: FakeServer) -> None:
    file = server.store(LINES)
    server.unavailable("DeleteFile")
    with pytest.raises(ServerUnavailable):
        client.files.delete(file.id)
    client.files.delete(file.id)
    assert not server.files


def test_download_yields_all_bytes(client: Client, server: FakeServer) -> None:
    assert b"".join(client.files.download(server.store(LINES).id)) == LINES


def test_download_takes_offset_and_limit(client: Client, server: FakeServer) -> None:
    assert b"".join(client.files.download(server.store(LINES).id, offset=3, limit=9)) == LINES[3:12]


def test_download_of_an_empty_file_yields_nothing(client: Client, server: FakeServer) -> None:
    assert list(client.files.download(server.store(b"").id)) == []


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, None])
def test_a_broken_download_resumes_after_the_last_byte(
    client: Client, server: FakeServer, code: grpc.StatusCode | None
) -> None:
    file = server.store(LINES)
    server.fail("DownloadFile", Failure(code, after=3), Failure(code), Failure(code, after=2))
    assert b"".join(client.files.download(file.id)) == LINES
    asked = [r.offset for r in server.requests["DownloadFile"] if isinstance(r, v1.DownloadFileRequest)]
    assert asked == [0, 8, 8, 12]


def test_a_download_beyond_the_end_raises_invalid_request(client: Client, server: FakeServer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        list(client.files.download(server.store(LINES).id, offset=1000))
    assert caught.value.reason == "RANGE_NOT_SATISFIABLE"


def test_a_silent_download_is_opened_again(connect: Callable[..., Client], server: FakeServer) -> None:
    client = connect(server.target, retry_policy=RetryPolicy(Backoff(0.01), Backoff(0.01), silence=0.1))
    file = server.store(LINES)
    server.fail("DownloadFile", Failure(silent=True, after=2))
    assert b"".join(client.files.download(file.id)) == LINES
    assert server.calls == ["DownloadFile"] * 2


def test_download_to_writes_the_whole_file(client: Client, server: FakeServer, tmp_path: Path) -> None:
    file = server.store(LINES)
    reported: list[tuple[int, int | None]] = []
    assert client.files.download_to(file.id, tmp_path / "out", progress=lambda *now: reported.append(now)) == file
    assert (tmp_path / "out").read_bytes() == LINES
    assert reported[-1] == (len(LINES), len(LINES))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_corrupt_download_leaves_the_path_unchanged(client: Client, server: FakeServer, tmp_path: Path) -> None:
    file = server.store(LINES)
    server.files[file.id] = (file, LINES.swapcase())
    out = tmp_path / "out"
    out.write_text("before")
    with pytest.raises(CorruptDownload, match="SHA-256"):
        client.files.download_to(file.id, out)
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_api_key_is_sent_as_a_bearer_token(connect: Callable[..., Client], server: FakeServer) -> None:
    connect(server.target, api_key="sk-1").files.upload(LINES)
    assert server.metadata["authorization"] == "Bearer sk-1"
    assert str(server.metadata["user-agent"]).startswith("batchwire-python")
