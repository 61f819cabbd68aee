"""Models: those that the upstreams serve, by name."""

from __future__ import annotations

import pytest
from batchwire_server.adapters.upstreams.echo import EchoUpstream
from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.errors import BatchwireError
from batchwire_server.service.models import Models


async def test_models_of_all_upstreams_are_listed_by_name() -> None:
    models = Models(Catalog([Route(EchoUpstream(), ("c", "a")), Route(EchoUpstream(), ("b", "a"))]))
    assert [model.id for model in await models.list()] == ["a", "b", "c"]
    assert (await models.get("b")).id == "b"
    with pytest.raises(BatchwireError, match="does not exist"):
        await models.get("d")
