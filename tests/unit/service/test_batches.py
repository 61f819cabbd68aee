"""Batches: a cancel in each state."""

from __future__ import annotations

import pytest
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.limits import Limits
from batchwire_server.service.batches import Batches
from batchwire_server.service.retries import Retries

from tests.ports.memory_harness import MemoryHarness
from tests.ports.stores import StoreHarness

S = BatchStatus

# The status that CancelBatch returns for a batch in each state. None means that it is refused.
RETURNED = {
    S.VALIDATING: S.CANCELLING,
    S.IN_PROGRESS: S.CANCELLING,
    S.FINALIZING: S.FINALIZING,
    S.CANCELLING: S.CANCELLING,
    S.CANCELLED: S.CANCELLED,
    S.COMPLETED: None,
    S.FAILED: None,
    S.EXPIRED: None,
}


@pytest.fixture
def harness() -> StoreHarness:
    return MemoryHarness()


def test_the_table_covers_every_state() -> None:
    assert set(RETURNED) == set(S)


@pytest.mark.parametrize("status", S)
async def test_cancel_returns_the_status_unless_the_batch_has_ended_otherwise(
    harness: StoreHarness, status: BatchStatus
) -> None:
    batch, _ = await harness.batch_in(status)
    batches = Batches(harness.store, harness.store, Retries(harness.store, MemoryBlobs(), Limits()), Limits())
    returned = RETURNED[status]
    if returned:
        assert (await batches.cancel(batch.tenant, batch.id)).status is returned
        return
    with pytest.raises(BatchwireError, match=f"Cannot cancel a batch with status '{status}'"):
        await batches.cancel(batch.tenant, batch.id)
