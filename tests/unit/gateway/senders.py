"""Foreign HTTP clients: curl, requests, and fetch in Node."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import requests

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


async def _run(command: tuple[str, ...], stdin: bytes) -> tuple[int, Any]:
    run = await asyncio.to_thread(subprocess.run, command, input=stdin, capture_output=True, check=False)
    return run.returncode, json.loads(run.stdout) if run.stdout else run.stderr


async def curl(*arguments: str, stdin: bytes = b"") -> tuple[int, Any]:
    """Run curl. Return its exit code and the JSON that it printed."""
    return await _run(("curl", "--silent", "--show-error", "--max-time", "30", *arguments), stdin)


async def node(script: str, *arguments: str) -> Any:
    """Run a script in Node, and return the JSON that it printed.

    Its arguments are in `process.argv` from 1 on.
    """
    code, printed = await _run(("node", "-e", script, *arguments), b"")
    assert code == 0, printed
    return printed


async def requested(call: Callable[..., requests.Response], *arguments: Any, **options: Any) -> requests.Response:
    return await asyncio.to_thread(call, *arguments, timeout=30, **options)
