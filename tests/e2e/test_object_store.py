"""A server with an object store as its blob store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from batchwire_client import Client
from openai import OpenAI

from bench.upstream import MODEL, MockUpstream
from tests.support.invariants import check_ended
from tests.support.lines import chat_file, chat_line, jsonl
from tests.support.object_store import ObjectStore, running_object_store
from tests.support.server import Server, wait_until

LINES = 2000


@pytest.fixture(scope="module")
def running_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def store(running_store: ObjectStore) -> Iterator[ObjectStore]:
    yield running_store
    running_store.serve_again()


def server_on(store: ObjectStore, folder: Path, *options: str) -> Server:
    return Server(folder, "--blobs", store.url(folder.name), *options, environment=store.environment)


def test_a_batch_on_an_object_store_survives_a_restart_and_a_killed_worker(
    tmp_path: Path, store: ObjectStore, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    options = ("--upstream", upstream.base_url, "--workers", "2")
    with server_on(store, tmp_path, *options) as server, Client(server.grpc) as client:
        batch_id = client.batches.create(client.files.upload(chat_file(LINES, MODEL), filename="in.jsonl").id).id
        wait_until(lambda: len(upstream.calls) > 300)
    with server_on(store, tmp_path, *options) as server, Client(server.grpc) as client:
        wait_until(lambda: len(upstream.calls) > 900)
        server.workers()[0].kill()
        client.batches.wait(batch_id, timeout=90)
        ended = check_ended(server.url, batch_id, chat_file(LINES, MODEL))
        assert len(ended.output) == LINES
        assert server.blobs() == []
    assert max(Counter(upstream.calls).values()) <= 2, "only the kill may cost a call"


def test_multipart_objects_are_uploaded_over_grpc_and_rest_and_read_in_ranges(
    tmp_path: Path, store: ObjectStore
) -> None:
    sent = jsonl(chat_line(f"line-{number}", "x" * 100_000) for number in range(200))
    with server_on(store, tmp_path) as server, Client(server.grpc) as client:
        over_grpc = client.files.upload(sent, filename="in.jsonl").id
        with OpenAI(base_url=f"{server.url}/v1", api_key="any") as openai:
            over_rest = openai.files.create(file=("in.jsonl", sent), purpose="batch").id
        batch = client.batches.wait(client.batches.create(over_rest).id, timeout=60)
        assert batch.request_counts.completed == 200
        for file_id in (over_grpc, over_rest):
            url = f"{server.url}/v1/files/{file_id}/content"
            assert requests.get(url, timeout=60).content == sent
            piece = requests.get(url, headers={"Range": "bytes=9000000-12345678"}, timeout=60)
            assert (piece.status_code, piece.content) == (206, sent[9000000:12345679])
        assert store.files(f"{tmp_path.name}/files") == sorted([over_grpc, over_rest, batch.output_file_id])


def test_an_interrupted_upload_leaves_no_part(tmp_path: Path, store: ObjectStore) -> None:
    def interrupted() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (1 << 20)
        wait_until(lambda: store.files(f"{tmp_path.name}/files") != [])
        raise ConnectionError

    with server_on(store, tmp_path) as server, Client(server.grpc) as client:
        with pytest.raises(ConnectionError):
            client.files.upload(interrupted(), filename="in.jsonl")
        wait_until(lambda: store.files(f"{tmp_path.name}/files") == [])


def test_a_batch_waits_while_the_store_fails_and_then_completes(
    tmp_path: Path, store: ObjectStore, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    with server_on(store, tmp_path, "--upstream", upstream.base_url) as server, Client(server.grpc) as client:
        batch_id = client.batches.create(client.files.upload(chat_file(LINES, MODEL), filename="in.jsonl").id).id
        wait_until(lambda: len(upstream.calls) > 300)
        store.fail_with = 503
        wait_until(lambda: "writing results failed" in server.log.read_text())
        sent = {"file": ("in.jsonl", chat_file(1))}
        answer = requests.post(f"{server.url}/v1/files", files=sent, data={"purpose": "batch"}, timeout=60)
        assert answer.status_code == 503
        store.serve_again()
        client.batches.wait(batch_id, timeout=90)
        assert len(check_ended(server.url, batch_id, chat_file(LINES, MODEL)).output) == LINES
    assert len(upstream.calls) == LINES, "an outage of the store must not cost a call"


@pytest.mark.parametrize(
    ("blobs", "status", "message"),
    [
        ("s3://", 2, "s3://BUCKET/PREFIX"),
        ("ftp://host/path", 2, "s3://BUCKET/PREFIX"),
        ("s3://batchwire?no_such_option=1", 1, "no_such_option"),
        ("s3://no-such-bucket", 1, "bucket does not exist"),
        ("s3://batchwire?endpoint=http://127.0.0.1:1", 1, "127.0.0.1:1"),
    ],
)
def test_an_unusable_store_is_a_clear_error_at_start(
    tmp_path: Path, store: ObjectStore, blobs: str, status: int, message: str
) -> None:
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path), "--blobs", blobs]
    environment = {**os.environ, **store.environment}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_keys_are_created_without_the_object_store(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batchwire_server", "keys", "create", "--data-dir", str(tmp_path)]
    blobs = ["--blobs", "s3://batchwire?endpoint=http://127.0.0.1:1"]
    result = subprocess.run([*command, *blobs], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0
    assert result.stdout.strip()
