"""When a server is open to callers without keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batchwire_server.roles.adapters import open_adapters
from batchwire_server.roles.addresses import is_loopback
from batchwire_server.roles.api import open_without_keys
from batchwire_server.roles.errors import NoKeysError
from batchwire_server.service.api_keys import ApiKeys
from batchwire_server.settings import Settings

HERE, ANYWHERE = "127.0.0.1:1", "0.0.0.0:1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (HERE, True),
        ("127.1.2.3:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        (ANYWHERE, False),
        ("[::]:80", False),
        ("10.0.0.5:80", False),
        ("server.example:80", False),
        ("localhost.example:80", False),
    ],
)
def test_only_loopback_is_this_machine_alone(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


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
async def test_it_is_open_on_loopback_or_where_that_is_asked_for_by_name(
    tmp_path: Path,
    settings: dict[str, Any],
    addresses: tuple[str, ...],
    expected: tuple[bool | None, bool | None],
    keyed: bool,
) -> None:
    """Open means: as long as there never was a key, which each call asks again. None: the server is not started."""
    chosen = Settings(data_dir=tmp_path, **settings)
    async with open_adapters(chosen) as world:
        if keyed:
            await ApiKeys(world.store).create("red", "")
        answer = expected[keyed]
        if answer is None:
            with pytest.raises(NoKeysError, match="there is no API key yet"):
                await open_without_keys(chosen, world, *addresses)
        else:
            assert await open_without_keys(chosen, world, *addresses) is answer
