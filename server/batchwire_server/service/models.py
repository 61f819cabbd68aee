"""Models: those that the upstreams serve."""

from __future__ import annotations

from batchwire_server.core.catalog import Catalog
from batchwire_server.core.errors import model_not_found
from batchwire_server.core.records import Model


class Models:
    """The use cases of models."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list(self) -> list[Model]:
        """Return the models that upstreams serve, sorted by name."""
        return sorted((await self._catalog.read()).models.values(), key=lambda model: model.id)

    async def get(self, model_id: str) -> Model:
        """Return a model. Raises BatchwireError if no upstream serves it."""
        served = await self._catalog.read()
        if model_id not in served.models:
            raise model_not_found(model_id)
        return served.models[model_id]
