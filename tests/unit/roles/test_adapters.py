"""Opening the adapters: a blob store that lacks the blobs of the database is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.records import File
from batchwire_server.roles.adapters import require_known_blobs

from tests.ports.memory_harness import MemoryHarness

FILE = File("file-1", "t", "in.jsonl", "batch", 3, "", 1, "files/file-1")


async def test_an_empty_database_accepts_any_store() -> None:
    await require_known_blobs(MemoryHarness().store, MemoryBlobs())


async def test_a_store_with_one_of_the_newest_blobs_is_accepted() -> None:
    store, blobs = MemoryHarness().store, MemoryBlobs()
    for number in range(3):
        await store.add_file(replace(FILE, id=f"file-{number}", blob_key=f"files/file-{number}"), None)
    await blobs.put("files/file-1", b"{}\n")
    await require_known_blobs(store, blobs)


async def test_a_store_without_any_of_the_newest_blobs_is_refused() -> None:
    store = MemoryHarness().store
    await store.add_file(FILE, None)
    with pytest.raises(OutOfReachError, match="files/file-1"):
        await require_known_blobs(store, MemoryBlobs())
