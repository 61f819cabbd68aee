"""Files: an upload whose caller disconnects while the row is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from batchwire_server.core.limits import Limits
from batchwire_server.core.records import File
from batchwire_server.service.files import Files, FileSpec


class SlowStore(SqlStore):
    """A store that writes a file's row only once the test allows it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.started = asyncio.Event()
        self.allowed = asyncio.Event()

    async def add_file(self, file: File, lifetime: int | None) -> File:
        self.started.set()
        await self.allowed.wait()
        return await super().add_file(file, lifetime)


async def test_an_upload_cancelled_while_its_row_is_written_leaves_no_file_and_no_blob(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await migrate(database)
    store, blobs = SlowStore(database), MemoryBlobs()

    async def messages() -> AsyncIterator[FileSpec | bytes]:
        yield FileSpec("in.jsonl", "batch")
        yield b"{}\n"

    uploading = asyncio.create_task(Files(store, blobs, Limits()).upload("t", messages()))
    await store.started.wait()
    uploading.cancel()
    store.allowed.set()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    page = await store.list_files("t", purpose="", after="", limit=10, oldest_first=False)
    assert page is not None
    assert page.items == []
    assert blobs.blobs == {}
    await database.close()
