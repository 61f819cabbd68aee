"""Code of two schema revisions on one database: a rolling upgrade, and its rollback.

The older code is the oldest that the schema admits, taken out of the repository's history.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from alembic.script import ScriptDirectory
from batchwire_server.adapters.sql.migrate import alembic_config
from batchwire_server.roles import keys, migrate
from batchwire_server.roles.errors import UnusableDatabaseError
from batchwire_server.settings import load

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.support.invariants import check_ended
from tests.support.lines import chat_file
from tests.support.old_code import unpack
from tests.support.postgresql import new_database, running_postgresql
from tests.support.roles import RoleProcess, role
from tests.support.server import Server, wait_until

LINES = 200
SLOTS = 8
NEWEST = ScriptDirectory.from_config(alembic_config()).get_revision("head")
OLDEST_CODE: str = NEWEST.module.oldest_code
ANY_PORT = "127.0.0.1:0"

Environment = Mapping[str, str]

pytestmark = pytest.mark.skipif(
    NEWEST.revision == OLDEST_CODE, reason="no older code can run on the newest schema revision"
)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment of processes that run the oldest code."""
    folder = tmp_path_factory.mktemp("old") / OLDEST_CODE
    environment = unpack(OLDEST_CODE, folder)
    show = "import batchwire, batchwire_client, batchwire_server as s; print(batchwire.__path__[0], batchwire_client.__file__, s.__file__)"
    shown = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert all(path.startswith(str(folder)) for path in shown.stdout.split())
    return environment


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with running_postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Options that name an empty database, and a folder for blobs."""
    data = ("--data-dir", str(tmp_path / "data"))
    if request.param == "sqlite":
        return data
    database = new_database(request.getfixturevalue("postgresql"))
    return (*data, "--database", database.replace("postgresql+asyncpg://", "postgresql://"))


def run(*arguments: str, environment: Environment | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "batchwire_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def refusal(*arguments: str, environment: Environment | None = None) -> str:
    """Run a command that cannot work, and return the one sentence that it ends with."""
    ended = run(*arguments, environment=environment)
    assert ended.returncode == 1
    *_, sentence = ended.stderr.splitlines()
    assert ended.stderr.count("Error") == 1
    assert "Traceback" not in ended.stderr
    assert sentence.startswith("Error: ")
    return sentence.removeprefix("Error: ")


def submit(url: str, content: bytes) -> str:
    """Create a batch, and return its id."""
    file = {"file": ("in.jsonl", content)}
    uploaded = _json(requests.post(f"{url}/v1/files", files=file, data={"purpose": "batch"}, timeout=30))
    wanted = {"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str(_json(requests.post(f"{url}/v1/batches", json=wanted, timeout=30))["id"])


def wait_for(url: str, batch_id: str) -> None:
    """Wait until a batch has completed."""
    wait_until(lambda: _json(requests.get(f"{url}/v1/batches/{batch_id}", timeout=30))["status"] == "completed")


def _json(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


class Gated:
    """An upstream that answers while its gate is open, and holds calls while it is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.upstream = MockUpstream(behaviour=self._answer)

    @property
    def calls(self) -> list[str]:
        """The message of every call so far."""
        return self.upstream.calls

    async def _answer(self, request: dict[str, Any]) -> Answer:
        while not self.gate.is_set():  # noqa: ASYNC110 - another thread opens the gate
            await asyncio.sleep(0.005)
        return Answer(body=completion(request))


class Code:
    """Roles that run one code, over one database.

    Args:
        stores: options that name the database.
        gated: the upstream that its workers call.
        environment: makes Python run the code.
    """

    def __init__(self, stores: tuple[str, ...], gated: Gated, environment: Environment) -> None:
        upstreams = [{"base_url": gated.upstream.base_url, "max_concurrency": SLOTS}]
        self.gated = gated
        self._stores = stores
        self._environment = {**environment, "BATCHWIRE_UPSTREAMS": json.dumps(upstreams)}
        self._api = self._start("api", "--grpc-listen", ANY_PORT)
        self.workers: list[RoleProcess] = []

    def _start(self, name: str, *options: str) -> RoleProcess:
        return RoleProcess(name, *self._stores, *options, environment=self._environment)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run an api and a gateway. Yield the URL. End them, and the worker, with the context."""
        with ExitStack() as stack:
            stack.callback(self._api.stop)
            stack.callback(self.stop_worker)
            front = ("--api", self._api.addresses()["grpc"], "--http-listen", ANY_PORT)
            gateway = stack.enter_context(role("gateway", *front, environment=self._environment))
            yield f"http://{gateway['http']}"

    def start_worker(self) -> None:
        """Start a worker, and wait until it is ready."""
        self.workers.append(self._start("worker"))
        self.workers[-1].addresses()

    def stop_worker(self) -> None:
        """End the worker, if there is one. Its calls are answered from then on."""
        for worker in self.workers:
            worker.terminate()
            self.gated.gate.set()
            worker.stop()
        self.workers.clear()


def test_old_and_new_processes_share_one_database(
    stores: tuple[str, ...], old: Environment, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    assert run("migrate", *stores).returncode == 0
    gates = [Gated(), Gated()]
    for gated in gates:
        upstream_of(gated.upstream)
    old_code, new_code = Code(stores, gates[0], old), Code(stores, gates[1], os.environ)
    contents: dict[str, bytes] = {}

    def create(url: str) -> str:
        content = chat_file(LINES, MODEL, f"batch{len(contents)}")
        batch_id = submit(url, content)
        contents[batch_id] = content
        return batch_id

    with old_code.serving() as old_url, new_code.serving() as new_url:
        old_code.start_worker()
        wait_for(new_url, create(new_url))
        assert len(old_code.gated.calls) == LINES, "the old worker ran the new api's batch"

        for gated in gates:
            gated.gate.clear()
        new_code.start_worker()
        both = [create(url) for url in (old_url, new_url) * 3]
        wait_until(lambda: len(old_code.gated.calls) > LINES and len(new_code.gated.calls) > 0)
        old_code.stop_worker()
        called = len(old_code.gated.calls)
        old_code.start_worker()
        wait_until(lambda: len(old_code.gated.calls) > called)
        new_code.gated.gate.set()
        for batch_id in both:
            wait_for(new_url, batch_id)

        old_code.stop_worker()
        called = len(new_code.gated.calls)
        wait_for(old_url, create(old_url))
        assert len(new_code.gated.calls) == called + LINES, "the new worker ran the old api's batch"

        for batch_id, content in contents.items():
            for url in (old_url, new_url):
                check_ended(url, batch_id, content)
    calls = Counter(old_code.gated.calls + new_code.gated.calls)
    assert len(calls) == LINES * len(contents)
    assert set(calls.values()) == {1}


def test_the_old_serve_runs_on_what_the_new_one_has_migrated(tmp_path: Path, old: Environment) -> None:
    contents: dict[str, bytes] = {}
    for number, environment in enumerate((old, os.environ, old)):
        with Server(tmp_path, environment=dict(environment)) as server:
            content = chat_file(LINES, prefix=f"serve{number}")
            batch_id = submit(server.url, content)
            contents[batch_id] = content
            wait_for(server.url, batch_id)
            for batch_id, content in contents.items():
                check_ended(server.url, batch_id, content)
    assert revision_of(server.data_dir) == NEWEST.revision
    assert f"has the newer schema revision {NEWEST.revision}" in server.log.read_text()


def test_the_old_code_refuses_a_schema_that_it_cannot_run_on(tmp_path: Path, old: Environment) -> None:
    settings = load(overrides={"data_dir": tmp_path})
    asyncio.run(migrate.run(settings))
    with closing(sqlite3.connect(tmp_path / "batchwire.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("INSERT INTO schema_revision VALUES ('9999', '9999')")
        database.commit()
    worker = ("worker", "--data-dir", str(tmp_path), "--upstream", "echo")
    assert "has schema revision 9999" in refusal(*worker, environment=old)
    assert "has schema revision 9999" in refusal(*worker)


def test_api_and_worker_do_not_migrate_unless_they_are_told_to(tmp_path: Path, old: Environment) -> None:
    settings = load(overrides={"data_dir": tmp_path})
    data = ("--data-dir", str(tmp_path))
    worker = ("worker", *data, "--upstream", "echo")
    api = ("api", *data, "--upstream", "echo", "--grpc-listen", ANY_PORT)
    place = f"database {tmp_path / 'batchwire.db'}"
    assert refusal(*worker).startswith(f"{place} has no schema: run `batchwire-server migrate`")

    assert run("keys", "list", *data, environment=old).returncode == 0
    sentence = refusal(*api)
    needed = f"has schema revision {OLDEST_CODE}, and this release needs {NEWEST.revision}"
    assert sentence.startswith(f"{place} {needed}: run `batchwire-server migrate`")
    assert refusal(*worker) == sentence
    assert asyncio.run(migrate.check(settings)) == (1, sentence)
    with pytest.raises(UnusableDatabaseError) as refused:
        asyncio.run(keys.list_all(settings))
    assert str(refused.value) == sentence
    assert revision_of(tmp_path) == OLDEST_CODE

    starting = [RoleProcess(*command, "--migrate") for command in (api, worker)]
    for process in starting:
        process.addresses()
    for process in starting:
        process.stop()
    assert revision_of(tmp_path) == NEWEST.revision
    assert asyncio.run(migrate.check(settings))[0] == 0


def revision_of(data_dir: Path) -> str:
    """Return the schema revision of an SQLite database."""
    with closing(sqlite3.connect(data_dir / "batchwire.db")) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
