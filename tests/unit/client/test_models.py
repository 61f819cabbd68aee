from __future__ import annotations

import pytest
from batchwire_client import Client, NotFound

from tests.unit.client.fake_server import FakeServer


def test_list_is_retried(client: Client, server: FakeServer) -> None:
    server.unavailable("ListModels")
    assert [model.id for model in client.models.list()] == ["echo", "qwen3"]


def test_get_returns_the_description_of_a_model(client: Client) -> None:
    assert client.models.get("echo").owned_by == "batchwire"


def test_an_unknown_model_raises_not_found(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.models.get("gpt-9")
    assert (caught.value.reason, caught.value.param) == ("MODEL_NOT_FOUND", "model")
