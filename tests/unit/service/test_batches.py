"""Batches, where a cancel comes at any time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.limits import Limits
from batchwire_server.service.batches import Batches

from tests.ports.stores import Stage

S = BatchStatus

# What a caller who cancels a batch is answered with: its status, or that it cannot be.
ANSWERS = {
    S.VALIDATING: S.CANCELLING,
    S.IN_PROGRESS: S.CANCELLING,
    S.FINALIZING: S.FINALIZING,
    S.CANCELLING: S.CANCELLING,
    S.CANCELLED: S.CANCELLED,
    S.COMPLETED: None,
    S.FAILED: None,
    S.EXPIRED: None,
}


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await migrate(database)
    yield Stage(SqlStore(database), database)
    await database.close()


def test_every_state_has_an_answer() -> None:
    assert set(ANSWERS) == set(S)


@pytest.mark.parametrize("status", S)
async def test_a_cancel_is_taken_unless_the_batch_has_ended_otherwise(stage: Stage, status: BatchStatus) -> None:
    batch, _ = await stage.at(status)
    batches = Batches(stage.store, stage.store, Limits())
    answer = ANSWERS[status]
    if answer:
        assert (await batches.cancel(batch.tenant, batch.id)).status is answer
        return
    with pytest.raises(BatchwireError, match=f"Cannot cancel a batch with status '{status}'"):
        await batches.cancel(batch.tenant, batch.id)
