"""A whole installation: api, gateway and workers as processes, each started again when it ends, as an orchestrator does it."""

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
"""Leases are short, so that a scenario takes seconds; all else is as an operator has it."""

SLOTS = 32
"""Few enough that a batch of some hundred lines lasts longer than a flush."""


SQLITE_DISK, POSTGRESQL_S3 = "sqlite+disk", "postgresql+s3"


@dataclass(frozen=True, slots=True)
class Setup:
    """Where an installation keeps its truth and its bytes."""

    name: str
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a role is to fail, and how often."""

    point: str
    action: str = "kill"
    times: int = 1


class Role:
    """A process that is wanted, and the command that starts it."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.failure: Failure | None = None
        self.clock_ahead = 0
        self.wanted = False
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = list(arguments)
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._starting = threading.Lock()

    @property
    def failed(self) -> int:
        """How often it has failed where it was told to."""
        return len(list(self._folder.glob(f"{self._mark.stem}.*")))

    @property
    def _mark(self) -> Path:
        assert self.failure
        return self._folder / f"{self.name}-{self.failure.point.replace(' ', '-')}"

    def spawn(self) -> None:
        """Start the process, unless it runs."""
        with self._starting:
            if not self.alive:
                self._spawn()

    def _spawn(self) -> None:
        module = ["tests.chaos.clock_ahead", str(self.clock_ahead)] if self.clock_ahead else ["batchwire_server"]
        if self.failure:
            module = ["tests.chaos.fault_injection", self.failure.point, self.failure.action]
            module += [str(self.failure.times), str(self._mark)]
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
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, and to those that it has started."""
        assert self.process
        with suppress(psutil.NoSuchProcess):
            whole = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
            for process in whole if number == signal.SIGKILL else whole[-1:]:
                process.send_signal(number)

    def end(self) -> None:
        """Stop the process as an operator does."""
        self.wanted = False
        if self.alive:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)


class Installation:
    """All roles over one setup.

    Args:
        setup: where truth and bytes are.
        folder: logs.
        upstreams: base URLs of each worker's upstreams; one for all is repeated.
        restart: whether roles that end are started again.
        slots: calls in flight, over all workers.
        settings: more of the environment.
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
            said = {"BATCHWIRE_UPSTREAMS": json.dumps([{"base_url": upstream, "max_concurrency": slots}])}
            return Role(name, arguments, environment | (said if upstream else {}), folder)

        self.setup = setup
        self.url = f"http://{http}"
        self.grpc = grpc
        self.api = role("api", "api", *data, "--grpc-listen", grpc, upstream=upstreams[0])
        self.gateway = role("gateway", "gateway", "--api", grpc, "--http-listen", http)
        self.workers = [
            role(f"worker-{number}", "worker", *data, upstream=upstream) for number, upstream in enumerate(upstreams)
        ]
        self.disturbances: list[float] = []
        self.kills = 0
        self._restart = restart
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    @property
    def roles(self) -> list[Role]:
        """All of them."""
        return [self.api, self.gateway, *self.workers]

    def _keep(self) -> None:
        while not self._ending.wait(0.05):
            for role in self.roles:
                if role.wanted and self._restart:
                    role.spawn()

    def kill(self, role: Role) -> None:
        """Stop a role as the kernel does when memory is short."""
        if role.alive:
            role.send(signal.SIGKILL)
            assert role.process
            role.process.wait()
            self.disturb(kill=True)

    def disturb(self, *, kill: bool = False) -> float:
        """Record that something was broken just now: calls that end around this time may be made again."""
        now = time.monotonic()
        self.disturbances.append(now)
        self.kills += kill
        return now

    def start(self, *roles: Role) -> None:
        """Start roles, or all, and waits until the gateway sees the api."""
        for role in roles or self.roles:
            role.wanted = True
            role.spawn()
        wait_until(self.ready)

    def health(self) -> dict[str, str]:
        """Return what the gateway says of the parts."""
        answer: dict[str, str] = requests.get(f"{self.url}/readyz", timeout=10).json()
        return answer

    def ready(self) -> bool:
        """Whether the gateway answers, and sees an api that serves."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def submit(self, content: bytes, **more: object) -> str:
        """Upload an input and creates a batch of it; return its id. A role that is not there just now is waited for."""
        form: dict[str, Any] = {"files": {"file": ("in.jsonl", content)}, "data": {"purpose": "batch"}}
        file_id = self.persist("POST", "/v1/files", **form)["id"]
        wanted = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
        once = {"Idempotency-Key": secrets.token_hex(8)}
        return str(self.persist("POST", "/v1/batches", json=wanted, headers=once)["id"])

    def submit_lines(self, count: int, prefix: str = "line", **more: object) -> tuple[str, bytes]:
        """Create a batch of chat lines; return its id, and its input."""
        content = chat_file(count, MODEL, prefix)
        return self.submit(content, **more), content

    def persist(
        self, method: str, path: str, *, fine: Collection[int] = (200,), **arguments: object
    ) -> dict[str, object]:
        """Make a call as a patient client does: again while nobody answers, or the server says that it cannot just now."""
        found: list[dict[str, object]] = []

        def answered() -> bool:
            try:
                answer = requests.request(method, f"{self.url}{path}", timeout=30, **arguments)  # type: ignore[arg-type]
            except requests.RequestException:
                return False
            if answer.status_code >= 500:
                assert answer.status_code in {502, 503, 504}, answer.text
                return False
            assert answer.status_code in fine, answer.text
            found.append(answer.json())
            return True

        wait_until(answered, within=120)
        return found[0]

    def cancel(self, batch_id: str) -> None:
        """Ask for a batch to be cancelled; one that has just ended refuses that."""
        self.persist("POST", f"/v1/batches/{batch_id}/cancel", fine=(200, 409))

    def stop(self) -> None:
        """Stop all roles, and waits for them."""
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for role in reversed(self.roles):
            role.end()
        for role in self.roles:
            if role.process:
                role.process.wait(timeout=60)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
