"""Fixtures of the chaos tests, and the report at the end."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos.checks import ScenarioResult
from tests.chaos.installation import POSTGRESQL_S3, SQLITE_DISK, Setup
from tests.chaos.scenario import Scenario
from tests.support.object_store import ObjectStore, running_object_store, url_below
from tests.support.postgresql import PostgreSQL, new_database

RESULTS: list[ScenarioResult] = []
REPORT = Path(__file__).parents[2] / "build" / "chaos.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--seeds", type=int, default=2, help="Number of seeds for random kills.")
    group.addoption(
        "--outage", type=float, default=6.0, help="Duration of outages of databases, stores and upstreams, in seconds."
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server that tests may crash and restart."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def running_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def object_store(running_store: ObjectStore) -> Iterator[ObjectStore]:
    """An object store that tests may let fail."""
    yield running_store
    running_store.serve_again()


@pytest.fixture(params=[SQLITE_DISK, POSTGRESQL_S3])
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setup:
    """A fresh database and blob store, of each kind."""
    data = ("--data-dir", str(tmp_path / "data"))
    if request.param == SQLITE_DISK:
        return Setup(request.param, data)
    database = new_database(request.getfixturevalue("postgresql").url).replace("+asyncpg", "")
    blobs = url_below(request.getfixturevalue("object_store"), secrets.token_hex(6))
    return Setup(request.param, (*data, "--database", database, "--blobs", blobs))


@pytest.fixture
def scenario(request: pytest.FixtureRequest, setup: Setup, tmp_path: Path) -> Iterator[Scenario]:
    """The installations of one test, stopped at its end."""
    result = ScenarioResult(request.node.originalname, setup.name)
    with ExitStack() as stack:
        yield Scenario(setup, tmp_path / "logs", stack, result)
    RESULTS.append(result)


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> range:
    return range(int(request.config.getoption("--seeds")))


@pytest.fixture
def outage(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--outage"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not RESULTS:
        return
    terminalreporter.section("chaos: results")
    rows = [asdict(result) for result in RESULTS]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(rows, indent=2) + "\n")
    layout: Callable[..., str] = "{:<62} {:<16} {:>6} {:>5} {:>4} {:>7} {:>8} {:>8}".format
    terminalreporter.write_line(
        layout("scenario", "set-up", "lines", "kills", "lost", "doubled", "repeated", "recovery")
    )
    for row in rows:
        recovery = "" if row["recovery_s"] is None else f"{row['recovery_s']:.1f} s"
        terminalreporter.write_line(
            layout(
                row["scenario"][5:67],
                row["setup"],
                row["lines"],
                row["kills"],
                row["lost"],
                row["doubled"],
                row["repeated"],
                recovery,
            )
        )
