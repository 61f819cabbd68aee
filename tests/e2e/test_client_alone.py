"""The client package in an environment without the server."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.lines import chat_file, ids_of
from tests.support.server import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the client's locked dependencies, and wheels of protocol and client."""
    folder = tmp_path_factory.mktemp("bare")
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    sources = [str(ROOT / "gen" / "python"), str(ROOT / "client")]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), *sources], check=True
    )
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    into = [*pip, "--python", str(folder / "venv" / "bin" / "python"), "install"]
    subprocess.run([*into, "--require-hashes", "--requirement", str(ROOT / "locks" / "client.txt")], check=True)
    subprocess.run([*into, "--no-deps", *map(str, wheels.glob("*.whl"))], check=True)
    return folder / "venv" / "bin"


def test_the_client_installs_and_runs_a_batch_without_the_server(bare: Path, server: Server, tmp_path: Path) -> None:
    absent = subprocess.run(
        [bare / "python", "-c", "import batchwire_server"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" in absent.stderr
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(chat_file(50))
    command = [str(bare / "batchwire"), "--target", server.grpc, "run", str(source), "--output", str(output)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert ids_of(output.read_bytes()) == [f"line-{number}" for number in range(50)]
