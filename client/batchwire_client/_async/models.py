"""The models of a client for asyncio."""

import builtins

import grpc
from batchwire import v1

from batchwire_client._transport.async_calls import Calls


class AsyncModels:
    """Tells which models batches may name."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._stub = v1.ModelServiceStub(channel)
        self._calls = calls

    async def list(self) -> builtins.list[v1.Model]:
        """Returns the models that the server's upstreams serve, by name."""
        return [*(await self._calls.safely(self._stub.ListModels, v1.ListModelsRequest())).data]

    async def get(self, model_id: str) -> v1.Model:
        """Returns one model. Raises NotFound."""
        return await self._calls.safely(self._stub.GetModel, v1.GetModelRequest(model_id=model_id))
