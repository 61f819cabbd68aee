"""Each role's process loads only what the role needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from batchwire_server.__main__ import main
from batchwire_server.roles import process

process.run = lambda role, log_level: role.close()  # imported, but not run
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

RPC_AND_HTTP_SERVERS = {"batchwire", "grpc", "starlette", "uvicorn"}
STORES = {"aiosqlite", "alembic", "asyncpg", "obstore", "sqlalchemy", "sqlmodel"}


def modules_of(*command: str) -> set[str]:
    """Return the top-level modules that a command imports before its role starts."""
    process = subprocess.run([sys.executable, "-c", SCRIPT, *command], stdout=subprocess.PIPE, timeout=60, check=True)
    return set(json.loads(process.stdout))


@pytest.mark.parametrize("option", ["--isolated", "--name=a"])
def test_a_worker_loads_no_grpc_and_no_http_server(option: str) -> None:
    loaded = modules_of("worker", "--upstream", "echo", option)
    assert not loaded & RPC_AND_HTTP_SERVERS
    assert "sqlalchemy" in loaded


def test_a_gateway_loads_no_store() -> None:
    loaded = modules_of("gateway")
    assert not loaded & STORES
    assert "grpc" in loaded


def test_an_api_loads_no_http_server() -> None:
    assert not modules_of("api", "--upstream", "echo") & {"starlette", "uvicorn"}


def test_help_loads_neither_servers_nor_stores() -> None:
    code = "import sys, batchwire_server.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    assert not set(process.stdout.split()) & (RPC_AND_HTTP_SERVERS | STORES)
