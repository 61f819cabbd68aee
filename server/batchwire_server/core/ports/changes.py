"""Change notifications of the database."""

from __future__ import annotations

from typing import Protocol


class ChangeFeed(Protocol):
    """Notifies of changes in the database, whichever process made them."""

    async def wait(self, seen: int, timeout: float) -> int:
        """Wait until the change counter differs from `seen`, at most `timeout` seconds.

        Returns the counter.
        """
