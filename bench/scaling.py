"""Measure how workers scale on one PostgreSQL: `python -m bench.scaling`.

The upstream answers after 100 ms and each worker has few slots, so that slots limit the rate and
not cores. The table also shows the cost of a line for the database: transactions, rows and bytes of
WAL. A second measurement counts claims per second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import Shard, TaskKind
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from tests.chaos.installation import Installation, Setup
from tests.chaos.recording_upstream import RecordingUpstream
from tests.ports.stores import a_batch
from tests.support.lines import chat_file
from tests.support.postgresql import new_database, running_postgresql
from tests.support.server import wait_until

LATENCY_S = 0.1
SLOTS = 16
CLAIMS = 4000
COUNTERS = """
SELECT xact_commit, tup_inserted + tup_updated + tup_deleted AS rows, pg_current_wal_lsn() - '0/0'::pg_lsn AS log,
  (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()) AS connections
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The result for a number of workers. Rates are per second, costs of the database per line."""

    workers: int
    lines: int
    rate: float
    transactions: float
    rows: float
    log_bytes: float
    connections: int


async def counters(url: str) -> dict[str, float]:
    """Return the statistics counters of PostgreSQL for a database."""
    database = Database(url)
    async with database.read() as connection:
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        row = (await connection.execute(text(COUNTERS))).mappings().one()
    await database.close()
    return {name: float(value) for name, value in row.items()}


def run(url: str, folder: Path, workers: int, seconds: float) -> Run:
    """Run a batch on some workers. The rate is measured from the first call to the last."""
    lines = int(workers * SLOTS / LATENCY_S * seconds)
    settings = {"BATCHWIRE_WORK__LEASE_TTL": "15", "BATCHWIRE_WORK__HEARTBEAT": "5"}
    setup = Setup("postgresql+disk", ("--data-dir", str(folder / "data"), "--database", url.replace("+asyncpg", "")))
    with ExitStack() as stack:
        upstream = stack.enter_context(RecordingUpstream(LATENCY_S, LATENCY_S))
        urls = [upstream.base_url] * workers
        made = Installation(setup, folder, urls, slots=SLOTS * workers, settings=settings)
        installation = stack.enter_context(made)
        installation.start()
        warm = installation.submit(chat_file(workers * SLOTS, "mock", "warm"))
        wait_until(lambda: has_completed(installation, warm))
        before, calls = asyncio.run(counters(url)), len(upstream.calls)
        batch = installation.submit(chat_file(lines, "mock"))
        wait_until(lambda: len(upstream.calls) >= calls + lines // 2, within=600)
        connections = int(asyncio.run(counters(url))["connections"])
        wait_until(lambda: has_completed(installation, batch), within=600)
        after = asyncio.run(counters(url))
        made_calls = upstream.calls[calls:]
    assert len(made_calls) == lines, "a call was repeated"
    duration_s = max(call.answered_at or 0.0 for call in made_calls) - min(call.received_at for call in made_calls)
    cost = {name: (after[name] - before[name]) / lines for name in ("xact_commit", "rows", "log")}
    return Run(workers, lines, lines / duration_s, cost["xact_commit"], cost["rows"], cost["log"], connections)


def has_completed(installation: Installation, batch_id: str) -> bool:
    """Return whether a batch has completed."""
    batch: dict[str, Any] = installation.request("GET", f"/v1/batches/{batch_id}")
    return bool(batch["status"] == "completed")


async def claims(url: str, claimers: int, waiting: int) -> float:
    """Return how many shards per second are claimed and completed, with `waiting` shards queued."""
    database = Database(url)
    await migrate(database)
    store = SqlStore(database)
    await store.add_batch(a_batch())
    (task,) = await store.claim(ClaimRequest("w", [TaskKind.VALIDATE], ttl_s=600))
    await store.accept(task, "m", [("m", Shard(number, 0, 1, 1, 1)) for number in range(waiting)])
    left = CLAIMS

    async def claim(name: str) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            for claimed in await store.claim(ClaimRequest(name, [TaskKind.RUN], ttl_s=600)):
                await store.complete(claimed)

    started = time.perf_counter()
    await asyncio.gather(*(claim(f"w{number}") for number in range(claimers)))
    duration_s = time.perf_counter() - started
    await database.close()
    return CLAIMS / duration_s


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with running_postgresql(fsync=True) as server, tempfile.TemporaryDirectory(prefix="batchwire-scaling-") as folder:
        runs = [
            run(new_database(server), Path(folder) / str(workers), workers, arguments.seconds)
            for workers in arguments.workers
        ]
        rates = {number: asyncio.run(claims(new_database(server), number, 10_000)) for number in (1, 8)}
    one = runs[0].rate / runs[0].workers
    table = Table(
        title=f"{SLOTS} slots per worker, {LATENCY_S * 1000:.0f} ms per call: at most {SLOTS / LATENCY_S:.0f} lines/s per worker"
    )
    for heading in (
        "workers",
        "lines",
        "lines/s",
        "efficiency",
        "slot utilization",
        "transactions/line",
        "rows/line",
        "WAL bytes/line",
        "connections",
    ):
        table.add_column(heading, justify="right")
    for each in runs:
        scale, full = each.rate / (one * each.workers), each.rate / (each.workers * SLOTS / LATENCY_S)
        figures = (
            f"{each.rate:,.0f}",
            f"{scale:.2f}",
            f"{full:.2f}",
            f"{each.transactions:.4f}",
            f"{each.rows:.4f}",
            f"{each.log_bytes:.0f}",
        )
        table.add_row(str(each.workers), f"{each.lines:,}", *figures, str(each.connections))
    console = Console(width=150)
    console.print(table)
    for number, rate in rates.items():
        console.print(f"{number} claimer(s), 10,000 shards waiting: {rate:,.0f} claims/s, each completed")
    if arguments.json:
        report = {"runs": [asdict(each) for each in runs], "claims": rates}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
