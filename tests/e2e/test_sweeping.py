"""Sweeps at a short interval: unused blobs are deleted, and a running batch keeps what it needs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batchwire_client import Client
from batchwire_server.adapters.blobs.local import LocalBlobs
from batchwire_server.adapters.blobs.object_store import ObjectBlobs
from batchwire_server.core import ids

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.object_store import ObjectStore, running_object_store, store_below
from tests.support.server import Server, wait_until

LINES, CONCURRENCY = 300, 100
ZEAL = {
    "BATCHWIRE_WORK__SWEEP_INTERVAL": "0.2",
    "BATCHWIRE_WORK__ORPHAN_INTERVAL": "0.2",
    "BATCHWIRE_WORK__ORPHAN_AGE": "2",
    "BATCHWIRE_LIMITS__RESULT_LIFETIME": "0",
}


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running_object_store() as running:
        yield running


@pytest.mark.parametrize("kind", ["folder", "object store"])
def test_orphans_are_swept_while_a_running_batch_keeps_its_deleted_input_and_segments(
    tmp_path: Path, store: ObjectStore, upstream_of: Callable[[MockUpstream], MockUpstream], kind: str
) -> None:
    go_on = threading.Event()

    async def answer(request: dict[str, Any]) -> Answer:
        number = int(request["messages"][-1]["content"].removeprefix("line-"))
        while number >= CONCURRENCY and not go_on.is_set():  # noqa: ASYNC110 - it is another thread that lets go
            await asyncio.sleep(0.02)
        return Answer(body=completion(request))

    def stored() -> list[str]:
        return store.files(tmp_path.name) if kind == "object store" else server.blobs()

    options = ["--upstream", upstream_of(MockUpstream(behaviour=answer)).base_url]
    if kind == "object store":
        options += ["--blobs", store.url(tmp_path.name)]
    sent = chat_file(LINES, MODEL)
    with (
        Server(tmp_path, *options, environment={**ZEAL, **store.environment}) as server,
        Client(server.grpc) as client,
    ):
        file = client.files.upload(sent, filename="in.jsonl")
        batch = client.batches.create(file.id)
        client.files.delete(file.id)
        wait_until(lambda: client.batches.get(batch.id).request_counts.completed == CONCURRENCY)
        needed = stored()
        assert f"files/{file.id}" in needed
        assert any(key.startswith(f"segments/{batch.id}/") for key in needed)

        blobs = (
            ObjectBlobs(store_below(store, tmp_path.name))
            if kind == "object store"
            else LocalBlobs(server.data_dir / "blobs")
        )
        orphans = [f"files/{ids.file_id()}", f"uploads/{ids.upload_id()}/{ids.part_id()}", f"segments/{batch.id}/0-0-0"]
        for key in orphans:
            asyncio.run(blobs.put(key, b"x"))
        if kind == "folder":
            (server.data_dir / "blobs" / "tmp" / "left").touch()
        wait_until(lambda: sorted(stored()) == sorted(needed))  # older than the orphans

        go_on.set()
        ended = client.batches.wait(batch.id, timeout=60)
        assert len(check_ended(server.url, batch.id, sent).output) == LINES
        client.files.delete(ended.output_file_id)
        wait_until(lambda: stored() == [])


def test_ended_batches_are_deleted_after_their_lifetime(start: Callable[..., Server]) -> None:
    server = start(**ZEAL, BATCHWIRE_LIMITS__BATCH_LIFETIME="3")
    with Client(server.grpc) as client:
        file = client.files.upload(chat_file(1), filename="in.jsonl")
        batch = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        wait_until(lambda: not list(client.batches.list()))
        output = b"".join(client.files.download(batch.output_file_id))
        assert json.loads(output)["custom_id"] == "line-0", "files have lifetimes of their own"
