"""HTTP clients other than SDKs, and waiting for a batch over REST."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import requests

from tests.support.invariants import ENDS
from tests.support.server import wait_until

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed on this machine")

FETCH = """
  const [url, text] = process.argv.slice(1);
  const formData = new FormData();
  formData.append('file', new Blob([text]), 'batch_input.jsonl');
  formData.append('purpose', 'batch');
  fetch(url, { method: 'POST', headers: { 'Authorization': 'Bearer YOUR_API_KEY' }, body: formData })
    .then((response) => response.json()).then((file) => console.log(JSON.stringify(file)));
"""


def curl(*arguments: str) -> Any:
    """Run curl. Return the JSON that it prints."""
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def fetch_uploads(url: str, content: bytes) -> Any:
    """Upload with fetch and FormData of Node.js. Return the response."""
    command = ["node", "-e", FETCH, url, content.decode()]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def ended(url: str) -> dict[str, Any]:
    """Wait until the batch at a URL has ended. Return it."""
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        found[:] = [requests.get(url, timeout=30).json()]
        return found[0]["status"] in ENDS

    wait_until(has_ended)
    return found[0]


def completed(url: str) -> dict[str, Any]:
    """Wait until the batch at a URL has completed. Return it."""
    batch = ended(url)
    assert batch["status"] == "completed", batch
    return batch
