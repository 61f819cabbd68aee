"""Models: list and describe."""

from __future__ import annotations

import builtins

import grpc
from batchwire import v1

from batchwire_client._transport.sync_calls import Calls


class Models:
    """The models that requests can name."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self._stub = v1.ModelServiceStub(channel)
        self._calls = calls

    def list(self) -> builtins.list[v1.Model]:
        """Return the models that the upstreams of the server serve, sorted by name."""
        return [*self._calls.call_with_retries(self._stub.ListModels, v1.ListModelsRequest()).data]

    def get(self, model_id: str) -> v1.Model:
        """Return one model. Raise NotFound if no upstream serves it."""
        return self._calls.call_with_retries(self._stub.GetModel, v1.GetModelRequest(model_id=model_id))
