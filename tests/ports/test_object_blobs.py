"""Behaviour of ObjectBlobs alone: parts, outages, opening."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import obstore.store
import pytest
from batchwire_server.adapters.blobs import object_store as object_blobs
from batchwire_server.adapters.blobs.object_store import PART_BYTES, ObjectBlobs, open_store
from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError

from tests.support.object_store import KEY, SECRET, ObjectStore, store_below
from tests.support.server import wait_until

MIB = 1 << 20
BLOCK = b"0123456789abcdef" * (MIB // 16)
CREDENTIALS = {"access_key_id": KEY, "secret_access_key": SECRET}
Call = Callable[[ObjectBlobs], Awaitable[object]]


@pytest.fixture
def store(object_store: ObjectStore) -> Iterator[ObjectStore]:
    yield object_store
    object_store.serve_again()


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(6)


@pytest.fixture
def blobs(store: ObjectStore, prefix: str) -> ObjectBlobs:
    return ObjectBlobs(store_below(store, prefix))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts."""
    monkeypatch.setitem(object_blobs.CLIENT, "read_timeout", timedelta(seconds=1))
    monkeypatch.setitem(object_blobs.RETRY, "retry_timeout", timedelta(seconds=1))


async def write(blobs: ObjectBlobs, key: str, mib: int, error: BaseException | None = None) -> None:
    async with blobs.writer(key) as writer:
        for _ in range(mib):
            await writer.write(BLOCK)
        if error:
            raise error
        await writer.commit()


async def stream(blobs: ObjectBlobs, key: str) -> int:
    return sum([len(block) async for block in blobs.stream(key)])


CALLS: dict[str, Call] = {
    "put": lambda blobs: blobs.put("new", b"x"),
    "write": lambda blobs: write(blobs, "large", 20),
    "read": lambda blobs: blobs.read("there", 0, 9),
    "stream": lambda blobs: stream(blobs, "there"),
    "delete": lambda blobs: blobs.delete(["new", "newer"]),
    "delete_below": lambda blobs: blobs.delete_below("segments/b"),
}


class TestParts:
    async def test_a_blob_of_many_parts_is_read_as_it_was_written(self, blobs: ObjectBlobs) -> None:
        await write(blobs, "a", 3 * PART_BYTES // MIB + 1)
        assert await stream(blobs, "a") == 3 * PART_BYTES + MIB
        assert await blobs.read("a", PART_BYTES - 8, PART_BYTES + 8) == BLOCK[8:16] + BLOCK[:8]

    @pytest.mark.parametrize("mib", [1, 20, 40])
    @pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError()])
    async def test_a_failed_writer_leaves_no_part(
        self, store: ObjectStore, blobs: ObjectBlobs, prefix: str, mib: int, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            await write(blobs, "a", mib, error)
        assert store.files(prefix) == []

    @pytest.mark.parametrize("mib", [1, 40])
    async def test_a_writer_cancelled_during_a_request_leaves_no_part(
        self, store: ObjectStore, blobs: ObjectBlobs, prefix: str, mib: int
    ) -> None:
        store.hold = True
        writing = asyncio.ensure_future(write(blobs, "a", mib))
        await asyncio.to_thread(wait_until, lambda: store.held > 0)
        writing.cancel()
        await asyncio.sleep(0)
        store.hold = False
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert store.files(prefix) == []

    async def test_a_refused_part_aborts_the_upload(
        self, hasty: None, store: ObjectStore, blobs: ObjectBlobs, prefix: str
    ) -> None:
        store.fail_with, store.fail_only = 503, "partNumber=2"
        with pytest.raises(OutOfReachError):
            await write(blobs, "a", 60)
        assert store.files(prefix) == []


class TestEnding:
    """A process that ends while a blob is being written."""

    async def begin(self, store: ObjectStore, blobs: ObjectBlobs, prefix: str) -> asyncio.Task[None]:
        async def write_on() -> None:
            async with blobs.writer("a") as writer:
                while True:
                    await writer.write(BLOCK)
                    await asyncio.sleep(0.005)

        writing = asyncio.create_task(write_on())
        await asyncio.to_thread(wait_until, lambda: store.files(prefix) != [])
        return writing

    async def test_blocks_raise_instead_of_stopping_after_a_cancelled_read(self) -> None:
        blocks = object_blobs._Blocks()
        asking = asyncio.ensure_future(blocks.__anext__())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        for _ in range(3):
            with pytest.raises(object_blobs._AbandonedError):
                await blocks.__anext__()

    @pytest.mark.parametrize("attempt", range(5))
    @pytest.mark.parametrize("cancelled", [False, True])
    def test_closing_the_store_aborts_uploads_under_way(
        self, store: ObjectStore, prefix: str, attempt: int, cancelled: bool
    ) -> None:
        async def go() -> None:
            blobs = ObjectBlobs(store_below(store, prefix))
            writing = await self.begin(store, blobs, prefix)
            if cancelled:
                writing.cancel()
                await asyncio.sleep(0)
            await blobs.close()

        asyncio.run(go())
        assert store.files(prefix) == []


class TestOutages:
    async def there(self, blobs: ObjectBlobs) -> None:
        for key in ("there", "segments/b/1", "segments/b/2"):
            await blobs.put(key, b"x")

    @pytest.mark.parametrize("name", CALLS)
    async def test_a_call_is_retried_through_a_short_failure(
        self, store: ObjectStore, blobs: ObjectBlobs, name: str
    ) -> None:
        await self.there(blobs)
        store.fail_with = 503
        calling = asyncio.ensure_future(CALLS[name](blobs))
        await asyncio.to_thread(wait_until, lambda: store.failures > 2)
        store.serve_again()
        await calling

    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("how", ["fails", "is silent"])
    async def test_a_call_to_a_failing_or_silent_store_raises_and_does_not_block_the_loop(
        self, hasty: None, store: ObjectStore, prefix: str, name: str, how: str
    ) -> None:
        blobs = ObjectBlobs(store_below(store, prefix))
        await self.there(blobs)
        store.fail_with, store.hold = (503, False) if how == "fails" else (0, True)
        calling = asyncio.ensure_future(CALLS[name](blobs))
        longest, looked = 0.0, time.monotonic()
        while not calling.done():
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, looked = max(longest, now - looked), now
        with pytest.raises(OutOfReachError):
            await calling
        assert longest < 1.0
        store.serve_again()
        await CALLS[name](blobs)

    def test_the_real_timeouts_add_up_to_at_most_half_a_minute(self) -> None:
        last_try, trying = object_blobs.CLIENT["read_timeout"], object_blobs.RETRY["retry_timeout"]
        assert isinstance(last_try, timedelta)
        assert last_try + trying <= timedelta(seconds=30)

    async def test_a_missing_bucket_is_an_outage_and_not_a_missing_blob(self, store: ObjectStore) -> None:
        url = store.url().replace("s3://batchwire", "s3://no-such-bucket")
        blobs = ObjectBlobs(open_store(f"{url}?{urlencode({'endpoint': store.endpoint, **CREDENTIALS})}"))
        for call in (blobs.read("files/a", 0, 1), stream(blobs, "files/a"), blobs.put("files/a", b"")):
            with pytest.raises(OutOfReachError, match="bucket does not exist"):
                await call


class TestOpening:
    async def refusal(self, url: str) -> str:
        with pytest.raises(OutOfReachError) as caught:
            await ObjectBlobs(open_store(url)).reach()
        return str(caught.value)

    def url(self, store: ObjectStore, place: str = "batchwire/p", **more: str) -> str:
        known = {"endpoint": store.endpoint, **CREDENTIALS, **more}
        return f"s3://{place}?{urlencode(known)}"

    async def test_a_usable_store_is_reachable_empty_or_not(self, store: ObjectStore, blobs: ObjectBlobs) -> None:
        await blobs.reach()
        await blobs.put("a", b"x")
        await blobs.reach()

    async def test_an_unusable_store_raises_one_line_without_secrets(self, hasty: None, store: ObjectStore) -> None:
        refusals = [
            await self.refusal(self.url(store, "no-such-bucket")),
            await self.refusal(self.url(store, secret_access_key="wrong-secret")),
            await self.refusal(self.url(store, endpoint="http://127.0.0.1:1")),
            await self.refusal(self.url(store, no_such_option="1")),
            await self.refusal("az://container-without-an-account/p"),
        ]
        said = ("bucket does not exist", "signature", "127.0.0.1:1", "no_such_option", "Account must be specified")
        for refusal, words in zip(refusals, said, strict=True):
            assert words in refusal
            assert "\n" not in refusal
            assert SECRET not in refusal
            assert "wrong-secret" not in refusal

    def test_google_and_azure_stores_open_by_their_url_schemes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        google, azure = open_store("gs://bucket/pre/fix"), open_store("az://container/pre/fix")
        assert isinstance(google, obstore.store.GCSStore)
        assert isinstance(azure, obstore.store.AzureStore)
        assert (google.prefix, azure.prefix) == ("pre/fix", "pre/fix")
        assert azure.config["container_name"] == "container"


async def test_a_store_that_refuses_to_delete_missing_keys_still_deletes_the_others(tmp_path: Path) -> None:
    # As Google's and Azure's do, and obstore's LocalStore.
    blobs = ObjectBlobs(obstore.store.LocalStore(tmp_path))
    for key in ("a", "b", "c"):
        await blobs.put(key, b"x")
    await blobs.delete(["never", "a", "neither", "c"])
    assert await blobs.read("b", 0, 9) == b"x"
    for key in ("a", "c"):
        with pytest.raises(BlobNotFoundError):
            await blobs.read(key, 0, 9)
