"""Retries: the input file of a retry has the lines that the error file names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core import ids
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.limits import Limits
from batchwire_server.core.records import Batch
from batchwire_server.service.retries import Retries

from tests.ports.memory_harness import MemoryHarness
from tests.ports.stores import a_batch, a_file

INPUT = b"one\ntwo\n\nfour\nfive"


class Environment:
    """An ended batch whose lines 2, 4 and 5 have failed."""

    def __init__(self) -> None:
        self.store, self.blobs = MemoryHarness().store, MemoryBlobs()
        self.retries = Retries(self.store, self.blobs, Limits())

    async def ended(self) -> Batch:
        batch = a_batch()
        errors = b"".join(b'{"id":"%s","error":{}}\n' % ids.line_id(batch.id, line) for line in (2, 4, 5))
        await self.blobs.put("files/errors", errors)
        await self.blobs.put("files/input", INPUT)
        file = await self.store.add_file(a_file(purpose="batch_output", blob_key="files/errors"), None)
        return replace(batch, status=BatchStatus.COMPLETED, error_file_id=file.id, input_key="files/input")


@pytest.fixture
def environment() -> Environment:
    return Environment()


async def test_the_failed_lines_are_copied_in_input_order(environment: Environment) -> None:
    batch = await environment.ended()
    file = await environment.retries.input_of(batch)
    assert environment.blobs.blobs[file.blob_key] == b"two\nfour\nfive\n"
    assert (file.tenant, file.line_count, file.purpose) == (batch.tenant, 3, "batch")
    await environment.retries.forget(file)
    assert await environment.store.get_file(batch.tenant, file.id) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": BatchStatus.IN_PROGRESS}, "it has not ended yet"),
        ({"status": BatchStatus.FAILED}, "its input was refused"),
        ({"error_file_id": None}, "none of its lines failed"),
        ({"input_key": None}, "none of its lines failed"),
        ({"error_file_id": "file-x"}, "its error file has been deleted"),
        ({"input_key": "files/x"}, "its input file has been deleted"),
    ],
)
async def test_a_batch_that_cannot_be_retried_says_why(
    environment: Environment, changes: dict[str, object], reason: str
) -> None:
    batch = replace(await environment.ended(), **changes)  # type: ignore[arg-type]  # fields of a batch
    blobs = set(environment.blobs.blobs)
    with pytest.raises(BatchwireError, match=reason):
        await environment.retries.input_of(batch)
    assert set(environment.blobs.blobs) == blobs
