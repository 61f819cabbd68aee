"""The commands of the operators' manual, run as they are."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sysconfig
from pathlib import Path

from tests.support.lines import chat_file, ids_of
from tests.support.object_store import running_object_store
from tests.support.postgresql import new_database, running_postgresql
from tests.support.server import free_port

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
LINES = 300


def script(page: str) -> str:
    """Return the commands of a page, with free ports."""
    commands = "\n".join(re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    for address in sorted(set(re.findall(r"127\.0\.0\.1:\d+", commands))):
        commands = commands.replace(address, f"127.0.0.1:{free_port()}")
    return commands


def environment(commands: str, database: str, store: dict[str, str], blobs: str) -> dict[str, str]:
    """Return the environment variables that the page requires."""
    grpc = re.search(r"--grpc-listen (\S+)", commands)
    http = re.search(r"--http-listen (\S+)", commands)
    assert grpc
    assert http
    return {
        **os.environ,
        **store,
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "UPSTREAM": "echo",
        "DATABASE": database,
        "BLOBS": blobs,
        # The page uses the default ports, which may be in use on this machine.
        "BATCHWIRE_GRPC_LISTEN": grpc[1],
        "BATCHWIRE_HTTP_LISTEN": http[1],
        "BATCHWIRE_TARGET": grpc[1],
    }


def test_the_commands_of_the_manual_work_in_order(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_bytes(chat_file(LINES))
    commands = script(PAGE.read_text())
    with running_postgresql() as postgresql, running_object_store() as store:
        database = new_database(postgresql).replace("postgresql+asyncpg://", "postgresql://")
        said = environment(commands, database, store.environment, store.url(secrets.token_hex(4)))
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-e", "-c", commands], cwd=tmp_path, env=said, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status = process.wait(timeout=100)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
    assert status == 0, (tmp_path / "log").read_text()[-4000:]
    for number in ("one", "two", "three", "four"):
        assert ids_of((tmp_path / f"{number}.jsonl").read_bytes()) == ids_of(chat_file(LINES))
