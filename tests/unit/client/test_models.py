import pytest
from batchwire_client import Client, NotFound

from tests.unit.client.fake_server import FakeServer


def test_models_are_listed_also_at_the_second_try(client: Client, server: FakeServer) -> None:
    server.unavailable("ListModels")
    assert [model.id for model in client.models.list()] == ["echo", "qwen3"]


def test_a_model_is_described(client: Client) -> None:
    assert client.models.get("echo").owned_by == "batchwire"


def test_an_unknown_model_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.models.get("gpt-9")
    assert (caught.value.reason, caught.value.param) == ("MODEL_NOT_FOUND", "model")
