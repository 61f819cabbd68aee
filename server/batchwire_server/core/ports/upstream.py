"""An inference server."""

from __future__ import annotations

from typing import Protocol

from batchwire_server.core.records import Model
from batchwire_server.core.results import NoReply, Reply


class Upstream(Protocol):
    """An inference server."""

    @property
    def name(self) -> str:
        """The operator's name for it."""

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """Make one call to an endpoint such as `/v1/chat/completions`.

        Failures of the upstream are returned, never raised.
        """

    async def models(self) -> list[Model]:
        """Return the models that it serves. Raises UnknownModelsError if it does not list them."""
