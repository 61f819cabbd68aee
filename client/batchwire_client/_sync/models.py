"""The models of a blocking client."""

import builtins

import grpc
from batchwire import v1

from batchwire_client._transport.sync_calls import Calls


class Models:
    """Tells which models batches may name."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self._stub = v1.ModelServiceStub(channel)
        self._calls = calls

    def list(self) -> builtins.list[v1.Model]:
        """Returns the models that the server's upstreams serve, by name."""
        return [*self._calls.safely(self._stub.ListModels, v1.ListModelsRequest()).data]

    def get(self, model_id: str) -> v1.Model:
        """Returns one model. Raises NotFound."""
        return self._calls.safely(self._stub.GetModel, v1.GetModelRequest(model_id=model_id))
