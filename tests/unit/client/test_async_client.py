from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from batchwire_client import AsyncClient

from tests.unit.client.fake_server import FakeServer


async def test_an_async_iterable_is_uploaded(server: FakeServer) -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two"):
            await asyncio.sleep(0)
            yield piece

    async with AsyncClient(server.target) as client:
        file = await client.files.upload(source(), filename="x.jsonl")
    assert server.files[file.id][1] == b"one two"


async def test_cancelling_an_upload_stores_nothing(server: FakeServer) -> None:
    begun = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"one"
        begun.set()
        await asyncio.Event().wait()

    async with AsyncClient(server.target) as client:
        upload = asyncio.create_task(client.files.upload(source()))
        await begun.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    server.stop()
    assert not server.files


async def test_files_are_uploaded_concurrently(server: FakeServer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.jsonl" for n in range(20)]
    for path in paths:
        path.write_text(path.name)
    async with AsyncClient(server.target) as client:
        files = await asyncio.gather(*map(client.files.upload, paths))
    assert [server.files[file.id][1].decode() for file in files] == [path.name for path in paths]
