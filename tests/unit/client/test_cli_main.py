from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from batchwire import v1
from batchwire_client._cli.main import program
from click.testing import CliRunner

from tests.unit.client.cli import LINES, Batchwire
from tests.unit.client.fake_server import FakeServer
from tests.unit.client.plans import waits_for


def test_a_refused_call_exits_with_3_and_prints_its_reason(batchwire: Batchwire) -> None:
    result = batchwire("get", "batch_x")
    assert result.exit_code == 3
    assert result.stderr == "Error: no batch batch_x (BATCH_NOT_FOUND)\n"


def test_a_proxy_that_grpc_cannot_use_exits_with_2() -> None:
    result = CliRunner().invoke(program, ["--proxy", "https://proxy:3128", "models"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: proxy must be a URL that starts with http://")


def test_an_unreachable_server_exits_with_4() -> None:
    result = CliRunner().invoke(program, ["--target", "127.0.0.1:1", "models"])
    assert result.exit_code == 4
    assert result.stdout == ""


def test_the_help_lists_the_exit_codes() -> None:
    result = CliRunner().invoke(program, ["--help"])
    assert "130  interrupted" in result.stdout
    assert "4  the server could not be reached" in result.stdout


def test_target_and_key_come_from_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHWIRE_TARGET", server.target)
    monkeypatch.setenv("BATCHWIRE_API_KEY", "sk-env")
    assert CliRunner().invoke(program, ["models"]).exit_code == 0
    assert server.metadata["authorization"] == "Bearer sk-env"
    CliRunner().invoke(program, ["--api-key", "sk-arg", "models"])
    assert server.metadata["authorization"] == "Bearer sk-arg"


@pytest.mark.parametrize("verb", ["run", "watch"])
def test_an_interrupt_leaves_the_batch_running_and_prints_how_to_resume(
    server: FakeServer, requests: Path, out: Path, verb: str
) -> None:
    server.plan = waits_for(threading.Event())
    subject = str(requests) if verb == "run" else server.start(LINES).id
    command = [sys.executable, "-m", "batchwire_client", "--target", server.target, verb, subject, "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        output = ""
        while "in_progress" not in output:
            line = process.stderr.readline()
            assert line, output
            output += line
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    (batch,) = server.batches.values()
    assert process.returncode == 130
    assert f"batchwire watch {batch.id} --output {out}" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert batch.status == v1.BATCH_STATUS_IN_PROGRESS
    assert not out.exists()
