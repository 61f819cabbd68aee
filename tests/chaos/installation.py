"""An installation: api, gateway and workers as processes that are restarted when they end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import requests

from bench.upstream import MODEL
from tests.support.lines import chat_file
from tests.support.server import free_port, wait_until

ROOT = Path(__file__).parents[2]
TTL_S = 5.0
FLUSH_S = 1.0
WORK = {
    "BATCHWIRE_WORK__LEASE_TTL": str(TTL_S),
    "BATCHWIRE_WORK__HEARTBEAT": "1",
    "BATCHWIRE_WORK__FLUSH_INTERVAL": str(FLUSH_S),
    "BATCHWIRE_WORK__DRAIN_GRACE": "5",
    "BATCHWIRE_WORK__SWEEP_INTERVAL": "0.5",
    "BATCHWIRE_WORK__RETRY_CAP": "2",
}
"""Short leases, so that a scenario takes seconds. All other settings have their defaults."""

SLOTS = 32
"""Few enough that a batch of some hundred lines takes longer than a flush interval."""

SQLITE_DISK, POSTGRESQL_S3 = "sqlite+disk", "postgresql+s3"


@dataclass(frozen=True, slots=True)
class Setup:
    """Database and blob store of an installation."""

    name: str
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """The point at which a role fails, how, and how often."""

    point: str
    action: str = "kill"
    times: int = 1


class Role:
    """A process of the installation, and the command that starts it."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.fault: Fault | None = None
        self.clock_ahead = 0
        self.should_run = False
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = list(arguments)
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._starting = threading.Lock()

    @property
    def fault_count(self) -> int:
        """How many of its faults have happened."""
        return len(list(self._folder.glob(f"{self._mark.stem}.*")))

    @property
    def _mark(self) -> Path:
        assert self.fault
        return self._folder / f"{self.name}-{self.fault.point.replace(' ', '-')}"

    def spawn(self) -> None:
        """Start the process unless it is running."""
        with self._starting:
            if not self.alive:
                self._spawn()

    def _spawn(self) -> None:
        module = ["tests.chaos.clock_ahead", str(self.clock_ahead)] if self.clock_ahead else ["batchwire_server"]
        if self.fault:
            module = ["tests.chaos.fault_injection", self.fault.point, self.fault.action]
            module += [str(self.fault.times), str(self._mark)]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, *self._arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
            )

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process; SIGKILL also goes to its children."""
        assert self.process
        with suppress(psutil.NoSuchProcess):
            whole = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
            for process in whole if number == signal.SIGKILL else whole[-1:]:
                process.send_signal(number)

    def terminate(self) -> None:
        """Stop the process with SIGTERM, as an operator does."""
        self.should_run = False
        if self.alive:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)


class Installation:
    """All roles over one database and blob store.

    Args:
        setup: database and blob store.
        folder: for logs.
        upstreams: base URL of each worker's upstream; its length is the number of workers.
        restart: whether roles that end are restarted.
        slots: limit of calls in flight at each upstream.
        settings: additional environment variables.
    """

    def __init__(
        self,
        setup: Setup,
        folder: Path,
        upstreams: Sequence[str],
        *,
        restart: bool = True,
        slots: int = SLOTS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**WORK, **setup.environment, **(settings or {})}
        grpc, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        data = setup.options

        def role(name: str, *arguments: str, upstream: str = "") -> Role:
            variables = {"BATCHWIRE_UPSTREAMS": json.dumps([{"base_url": upstream, "max_concurrency": slots}])}
            return Role(name, arguments, environment | (variables if upstream else {}), folder)

        self.setup = setup
        self.url = f"http://{http}"
        self.grpc = grpc
        self.api = role("api", "api", *data, "--migrate", "--grpc-listen", grpc, upstream=upstreams[0])
        self.gateway = role("gateway", "gateway", "--api", grpc, "--http-listen", http)
        self.workers = [
            role(f"worker-{number}", "worker", *data, "--migrate", upstream=upstream)
            for number, upstream in enumerate(upstreams)
        ]
        self.faults_at: list[float] = []
        self.kills = 0
        self._restart = restart
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)

    @property
    def roles(self) -> list[Role]:
        """All roles."""
        return [self.api, self.gateway, *self.workers]

    def _supervise(self) -> None:
        while not self._ending.wait(0.05):
            for role in self.roles:
                if role.should_run and self._restart:
                    role.spawn()

    def kill(self, role: Role) -> None:
        """Kill a role with SIGKILL, as the out-of-memory killer does."""
        if role.alive:
            role.send(signal.SIGKILL)
            assert role.process
            role.process.wait()
            self.record_fault(kill=True)

    def record_fault(self, *, kill: bool = False) -> float:
        """Record the time of a fault: calls that end around it may be repeated. Return the time."""
        now = time.monotonic()
        self.faults_at.append(now)
        self.kills += kill
        return now

    def start(self, *roles: Role) -> None:
        """Start some roles, by default all, and wait until the gateway reaches the api."""
        for role in roles or self.roles:
            role.should_run = True
            role.spawn()
        wait_until(self.ready)

    def health(self) -> dict[str, str]:
        """Return the health of each component, as `/readyz` reports it."""
        answer: dict[str, str] = requests.get(f"{self.url}/readyz", timeout=10).json()
        return answer

    def ready(self) -> bool:
        """Return whether the gateway reports that the api is serving."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def submit(self, content: bytes, **more: object) -> str:
        """Upload an input and create a batch. Return its id. Retry while a role is down."""
        form: dict[str, Any] = {"files": {"file": ("in.jsonl", content)}, "data": {"purpose": "batch"}}
        file_id = self.request("POST", "/v1/files", **form)["id"]
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        return str(self.request("POST", "/v1/batches", json=body, headers=headers)["id"])

    def submit_lines(self, count: int, prefix: str = "line", **more: object) -> tuple[str, bytes]:
        """Create a batch of chat lines. Return its id and its input."""
        content = chat_file(count, MODEL, prefix)
        return self.submit(content, **more), content

    def request(
        self, method: str, path: str, *, accepted: Collection[int] = (200,), **arguments: object
    ) -> dict[str, object]:
        """Make a REST call and return its JSON.

        Retry while the server is unreachable or answers 502 to 504.
        """
        found: list[dict[str, object]] = []

        def answered() -> bool:
            try:
                answer = requests.request(method, f"{self.url}{path}", timeout=30, **arguments)  # type: ignore[arg-type]  # any argument of requests
            except requests.RequestException:
                return False
            if answer.status_code >= 500:
                assert answer.status_code in {502, 503, 504}, answer.text
                return False
            assert answer.status_code in accepted, answer.text
            found.append(answer.json())
            return True

        wait_until(answered, within=120)
        return found[0]

    def cancel(self, batch_id: str) -> None:
        """Cancel a batch, unless it has just ended."""
        self.request("POST", f"/v1/batches/{batch_id}/cancel", accepted=(200, 409))

    def stop(self) -> None:
        """Stop all roles and wait until they have ended."""
        self._ending.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        for role in reversed(self.roles):
            role.terminate()
        for role in self.roles:
            if role.process:
                role.process.wait(timeout=60)

    def __enter__(self) -> Self:
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
