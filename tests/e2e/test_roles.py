"""The roles as separate processes, and errors at their start."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from batchwire_client import Client, status_word

from tests.support.lines import chat_file
from tests.support.roles import role
from tests.support.server import Server


def test_the_roles_work_as_separate_processes(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path), "--upstream", "echo", "--migrate")
    with ExitStack() as stack:
        api = stack.enter_context(role("api", *data, "--grpc-listen", "127.0.0.1:0"))
        gateway = stack.enter_context(role("gateway", "--api", api["grpc"], "--http-listen", "127.0.0.1:0"))
        stack.enter_context(role("worker", *data))
        stack.enter_context(role("worker", *data))
        url = f"http://{gateway['http']}"
        assert requests.get(f"{url}/healthz", timeout=10).status_code == 200
        assert requests.get(f"{url}/readyz", timeout=10).status_code == 200
        assert requests.get(f"{url}/metrics", timeout=10).status_code == 200
        with Client(api["grpc"]) as client:
            file = client.files.upload(chat_file(2000), filename="in.jsonl")
            batch = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        assert status_word(batch) == "completed"
        content = requests.get(f"{url}/v1/files/{batch.output_file_id}/content", timeout=10).content
        assert len(content.splitlines()) == 2000


def test_a_second_serve_with_the_same_data_dir_is_refused(server: Server) -> None:
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(server.data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "another `serve` works on" in result.stderr


def test_a_port_in_use_is_a_clear_error(server: Server, tmp_path: Path) -> None:
    for option, address in (("--grpc-listen", server.grpc), ("--http-listen", server.http)):
        other = "--http-listen" if option == "--grpc-listen" else "--grpc-listen"
        command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path)]
        ports = [option, address, other, "127.0.0.1:0"]
        result = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 1
        assert f"cannot listen at {address}" in result.stderr
        assert "Traceback" not in result.stderr


def test_an_invalid_configuration_is_a_clear_error(tmp_path: Path) -> None:
    config = tmp_path / "batchwire.toml"
    config.write_text("[limits]\nmax_linez = 3\n")
    command = [sys.executable, "-m", "batchwire_server", "serve", "--config", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "limits.max_linez" in result.stderr


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_separate_role_requires_upstreams(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "batchwire_server", name, "--data-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "--upstream echo" in result.stderr


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("BATCHWIRE_UPSTREAM", "gpu-1:8000", "starts with http://"),
        ("BATCHWIRE_DATABASE", "mysql://x/y", "sqlite:/// or postgresql://"),
        ("BATCHWIRE_LOG_LEVEL", "loud", "log_level"),
        ("BATCHWIRE_WORK__LEASE_TTL", "1", "at least twice the heartbeat"),
        ("BATCHWIRE_UPSTREAMS", '[{"base_url": "http://x", "api_key_env": "NO_SUCH_KEY"}]', "NO_SUCH_KEY is not set"),
    ],
)
def test_an_invalid_setting_is_refused_at_start(tmp_path: Path, setting: str, value: str, message: str) -> None:
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path)]
    environment = {**os.environ, setting: value}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unusable_data_dir_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path / "file" / "data")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_a_blob_store_without_the_known_files_is_refused(tmp_path: Path) -> None:
    """With an unmounted folder, queued batches would fail for want of their inputs."""
    with Server(tmp_path, "--workers", "0") as server, Client(server.grpc) as client:
        file = client.files.upload(chat_file(20), filename="in.jsonl")
        batch = client.batches.create(file.id)
        client.files.delete(file.id)  # the batch still reads it
    blobs, away = server.data_dir / "blobs", tmp_path / "away"
    blobs.rename(away)
    for there in (False, True):
        if there:
            blobs.mkdir()
        for name in ("serve", "worker"):
            options = ["--data-dir", str(server.data_dir), "--upstream", "echo"]
            command = [sys.executable, "-m", "batchwire_server", name, *options]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert result.returncode == 1
            assert "is its volume mounted?" in result.stderr
            assert "Traceback" not in result.stderr
    elsewhere = [*command, "--blobs", str(tmp_path / "other")]
    (tmp_path / "other" / "tmp").mkdir(parents=True)
    result = subprocess.run(elsewhere, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert f"files/{file.id}" in result.stderr
    blobs.rmdir()
    away.rename(blobs)
    with Server(tmp_path) as server, Client(server.grpc) as client:
        assert status_word(client.batches.wait(batch.id, timeout=60)) == "completed"
    log = server.log.read_text()
    assert f"batch {batch.id} is in progress: 20 lines for 'echo'" in log
    assert f"batch {batch.id} is completed: 20 lines in the output, 0 in the error file" in log


def test_the_effective_settings_are_printed(tmp_path: Path) -> None:
    config = tmp_path / "batchwire.toml"
    config.write_text('database = "postgresql://me:secret@db/x"\n[[upstreams]]\nbase_url = "http://gpu-1"\n')
    command = [sys.executable, "-m", "batchwire_server", "settings", "--config", str(config)]
    environment = {**os.environ, "BATCHWIRE_LIMITS__MAX_LINES": "7", "BATCHWIRE_LIMIT__MIN_LINES": "7"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    shown = result.stdout.splitlines()
    assert "limits.max_lines = 7" in shown
    assert "limits.min_lines = 1" in shown
    assert "database = postgresql+asyncpg://***@db/x" in shown
    assert "upstreams[].base_url = http://gpu-1" in shown
    assert "BATCHWIRE_LIMIT__MIN_LINES. Did you mean BATCHWIRE_LIMITS__MIN_LINES?" in result.stderr
