"""Uploads: parts become one file, or nothing is stored."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.limits import Limits
from batchwire_server.core.records import UploadStatus
from batchwire_server.service.files import Files, FileSpec
from batchwire_server.service.uploads import Uploads

from tests.ports.memory_harness import MemoryHarness

FIRST, SECOND = b'{"a": 1}\n', b'{"a": 2}\n'
SPEC = FileSpec("folder/in.jsonl", "batch", bytes=len(FIRST + SECOND))
LIMITS = Limits(max_file_bytes=100, max_part_bytes=10)


class Environment:
    """Uploads over memory."""

    def __init__(self) -> None:
        store, self.blobs = MemoryHarness().store, MemoryBlobs()
        self.files = Files(store, self.blobs, LIMITS)
        self.uploads = Uploads(store, self.blobs, self.files, LIMITS)

    async def add(self, upload_id: str, data: bytes) -> str:
        async def blocks() -> AsyncIterator[bytes]:
            yield data

        return (await self.uploads.add_part("t", upload_id, blocks())).id


@pytest.fixture
def environment() -> Environment:
    return Environment()


async def test_parts_are_joined_in_the_order_of_their_ids(environment: Environment) -> None:
    upload = (await environment.uploads.create("t", SPEC)).upload
    second, first = await environment.add(upload.id, SECOND), await environment.add(upload.id, FIRST)
    md5 = hashlib.md5(FIRST + SECOND, usedforsecurity=False).hexdigest()
    state = await environment.uploads.complete("t", upload.id, [first, second], md5.upper())
    assert state.upload.status is UploadStatus.COMPLETED
    assert state.file is not None
    assert (state.file.filename, state.file.line_count) == ("in.jsonl", 2)
    assert environment.blobs.blobs[state.file.blob_key] == FIRST + SECOND
    assert await environment.uploads.complete("t", upload.id, [], "") == state


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (FileSpec("", "batch", bytes=1), Reason.MISSING_REQUIRED_PARAMETER),
        (FileSpec("a", "", bytes=1), Reason.MISSING_REQUIRED_PARAMETER),
        (FileSpec("a", "batch"), Reason.MISSING_REQUIRED_PARAMETER),
        (FileSpec("a", "batch", bytes=-1), Reason.INVALID_VALUE),
        (FileSpec("a", "other", bytes=1), Reason.INVALID_VALUE),
        (FileSpec("a", "batch", bytes=101), Reason.FILE_TOO_LARGE),
    ],
)
async def test_a_spec_that_cannot_be_fulfilled_is_refused(
    environment: Environment, spec: FileSpec, reason: Reason
) -> None:
    with pytest.raises(BatchwireError) as refused:
        await environment.uploads.create("t", spec)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", Reason.MISSING_REQUIRED_PARAMETER), (b"x" * 11, Reason.FILE_TOO_LARGE)]
)
async def test_a_refused_part_leaves_no_blob(environment: Environment, data: bytes, reason: Reason) -> None:
    upload = (await environment.uploads.create("t", SPEC)).upload
    with pytest.raises(BatchwireError) as refused:
        await environment.add(upload.id, data)
    assert refused.value.reason is reason
    assert environment.blobs.blobs == {}


async def test_parts_that_do_not_fit_the_declaration_leave_the_upload_pending(environment: Environment) -> None:
    upload = (await environment.uploads.create("t", SPEC)).upload
    parts = [await environment.add(upload.id, FIRST), await environment.add(upload.id, SECOND)]
    for part_ids, md5, param in (
        (parts[:1], "", "part_ids"),
        ([*parts, "part-x"], "", "part_ids"),
        (parts, "ab", "md5"),
    ):
        with pytest.raises(BatchwireError) as refused:
            await environment.uploads.complete("t", upload.id, part_ids, md5)
        assert refused.value.details["param"] == param
    assert (await environment.uploads.complete("t", upload.id, parts, "")).file


async def test_a_cancelled_upload_accepts_nothing_and_may_be_cancelled_again(environment: Environment) -> None:
    upload = (await environment.uploads.create("t", SPEC)).upload
    for _ in range(2):
        assert (await environment.uploads.cancel("t", upload.id)).upload.status is UploadStatus.CANCELLED
    with pytest.raises(BatchwireError, match="no longer pending"):
        await environment.add(upload.id, FIRST)
    with pytest.raises(BatchwireError, match="no longer pending"):
        await environment.uploads.complete("t", upload.id, ["part-x"], "")


async def test_an_upload_is_not_found_by_another_tenant(environment: Environment) -> None:
    upload = (await environment.uploads.create("t", SPEC)).upload
    with pytest.raises(BatchwireError, match="No upload found"):
        await environment.uploads.cancel("another", upload.id)
