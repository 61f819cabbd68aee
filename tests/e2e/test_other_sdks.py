"""Official SDKs outside this environment: an older major version, and Node.js."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lines import chat_file
from tests.support.server import Server

HERE = Path(__file__).parent
OPENAI_1 = HERE.parent.parent / ".venv" / "openai-1"
NODE = HERE / "node"


def test_the_older_openai_sdk_works(server: Server) -> None:
    environment = {**os.environ, "PYTHONPATH": str(OPENAI_1)}
    script = [sys.executable, str(HERE / "openai_v1_script.py"), f"{server.url}/v1"]
    result = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed on this machine")
def test_the_openai_sdk_for_node_uploads_from_a_stream(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(chat_file(500))
    script = ["node", str(NODE / "stream.mjs"), f"{server.url}/v1", str(path)]
    result = subprocess.run(script, cwd=NODE, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"line-{number}" for number in range(500)]
