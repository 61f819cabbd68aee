"""The store of batches, as callers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from batchwire_server.core.ports.page import Page
from batchwire_server.core.records import Batch, Segment


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one create call, and a fingerprint of the call's fields."""

    key: str
    fingerprint: str


class BatchStore(Protocol):
    """Batches, as callers see them."""

    async def add_batch(self, batch: Batch, idempotency_key: IdempotencyKey | None = None, per_hour: int = 0) -> Batch:
        """Store a batch with its validate and expire tasks; return it with its times.

        If a batch was stored under the same idempotency key before, that batch is returned instead.

        Raises BatchwireError if that key came with other fields before, or if the tenant has stored
        `per_hour` batches within the last hour (0: no limit).
        """

    async def find_batch(self, tenant: str, idempotency_key: IdempotencyKey) -> Batch | None:
        """Return the batch that was stored under an idempotency key, or None.

        Raises BatchwireError if the key came with other fields.
        """

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """Return a tenant's batch, or None."""

    async def list_batches(self, tenant: str, *, after: str, limit: int) -> Page[Batch] | None:
        """Return a page of a tenant's batches, newest first; None if `after` is not one of them."""

    async def cancel_batch(self, tenant: str, batch_id: str) -> None:
        """Move a batch that is validating or in progress to `cancelling`; ignore other states."""

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        """Return the batches whose revision differs from the given one, by batch id."""

    async def segments_from(self, batch_id: str, offset: int, limit: int) -> list[Segment]:
        """Return up to `limit` segments with finished lines at or after `offset`, in order."""
