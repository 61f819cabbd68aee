"""When requests without a key are accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.roles.adapters import open_adapters
from batchwire_server.roles.api import open_without_keys
from batchwire_server.roles.errors import NoKeysError
from batchwire_server.service.api_keys import ApiKeys
from batchwire_server.settings import Settings

HERE, ANYWHERE = "127.0.0.1:1", "0.0.0.0:1"


@pytest.mark.parametrize("keyed", [False, True], ids=["no key", "a key"])
@pytest.mark.parametrize(
    ("settings", "addresses", "expected"),
    [
        ({}, (HERE, HERE), (True, True)),
        ({}, (HERE, ANYWHERE), (None, False)),
        ({}, (ANYWHERE, HERE), (None, False)),
        ({"auth": "open"}, (ANYWHERE, ANYWHERE), (True, True)),
        ({"trusted_header": "x-tenant", "trusted_peers": ["10.0.0.5/32"]}, (HERE, HERE), (False, False)),
        ({"trusted_header": "x-tenant", "trusted_peers": ["10.0.0.5/32"]}, (ANYWHERE, HERE), (False, False)),
    ],
)
async def test_requests_without_a_key_are_accepted_on_loopback_or_if_auth_is_open(
    tmp_path: Path,
    settings: dict[str, Any],
    addresses: tuple[str, ...],
    expected: tuple[bool | None, bool | None],
    keyed: bool,
) -> None:
    """True: accepted until the first key is created. None: the server does not start."""
    chosen = Settings(data_dir=tmp_path, **settings)
    async with open_adapters(chosen, Migrations.ALL) as adapters:
        if keyed:
            await ApiKeys(adapters.store).create("red", "")
        answer = expected[keyed]
        if answer is None:
            with pytest.raises(NoKeysError, match="there is no API key yet"):
                await open_without_keys(chosen, adapters, *addresses)
        else:
            assert await open_without_keys(chosen, adapters, *addresses) is answer
