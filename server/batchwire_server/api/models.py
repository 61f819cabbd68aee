"""ModelService of the protocol, over the use cases of `service/models.py`."""

from __future__ import annotations

from batchwire import v1

from batchwire_server.api.auth import Context
from batchwire_server.api.convert import model_message
from batchwire_server.service.models import Models


class ModelServicer(v1.ModelServiceServicer):
    """The RPCs of ModelService."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def ListModels(self, request: v1.ListModelsRequest, context: Context) -> v1.ListModelsResponse:
        """See ModelService."""
        return v1.ListModelsResponse(data=[model_message(model) for model in await self._models.list()])

    async def GetModel(self, request: v1.GetModelRequest, context: Context) -> v1.Model:
        """See ModelService."""
        return model_message(await self._models.get(request.model_id))
