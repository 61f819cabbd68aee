"""Measure Batchwire and bare baselines in the same run: `python -m bench`.

The ratios matter: 1.0 means as fast as the baseline, which does the same work without a service. In
each round, the baseline and Batchwire are measured in turn. A ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import bench.rows  # noqa: F401 - importing it registers the rows
from bench.charts import concurrency, memory
from bench.harness import Harness
from bench.plot import page
from bench.sysinfo import sysinfo
from bench.table import BOTH, HEADINGS, ROWS, Row, cells, markdown, result


def select_rows(full: bool, only: str) -> list[Row]:
    """Return the rows whose names contain `only`; those of `bench-full` only if `full`."""
    return [row for row in ROWS if (full or not row.full) and only.lower() in row.name.lower()]


def measure_rows(
    rows: list[Row], databases: list[str], folder: Path, rounds: int, *, full: bool
) -> Iterator[dict[str, Any]]:
    """Measure rows, one database after the other, and yield their results."""
    for database in databases:
        harness = Harness(folder, database, rounds, full=full)
        try:
            for row in rows:
                if database not in row.goals:
                    continue
                started = time.perf_counter()
                found = result(row, database, row.measure(harness))
                found["seconds"] = round(time.perf_counter() - started, 1)
                print(
                    f"{found['seconds']:5.0f} s  {' | '.join(cells(found))}  {found['note']}",
                    file=sys.stderr,
                    flush=True,
                )
                yield found
        finally:
            harness.close()


def main() -> None:
    """Measure the rows that the command line selects, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure the rows of a million lines too")
    parser.add_argument("--only", default="", help="measure only rows whose name contains this text")
    parser.add_argument("--database", choices=BOTH, action="append", help="measure on this database only")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per row (default: 3)")
    parser.add_argument("--json", type=Path, help="write the results as JSON")
    parser.add_argument("--markdown", type=Path, help="write the table as Markdown")
    parser.add_argument("--plot", type=Path, help="write charts as SVG; takes a minute more")
    arguments = parser.parse_args()
    for path in filter(None, (arguments.json, arguments.markdown, arguments.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    machine = sysinfo()
    with tempfile.TemporaryDirectory(prefix="batchwire-bench-") as name:
        folder = Path(name)
        rows = select_rows(arguments.full, arguments.only)
        results = list(
            measure_rows(rows, arguments.database or list(BOTH), folder, arguments.rounds, full=arguments.full)
        )
        if arguments.plot:
            harness = Harness(folder, BOTH[0], 1, full=False)
            arguments.plot.write_text(page([concurrency(harness), memory(harness)]))
            harness.close()
    described = ", ".join(f"{what} {value}" for what, value in machine.items())
    table = Table(title=f"Medians of {arguments.rounds} rounds; {described}")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for found in results:
        table.add_row(*cells(found))
    Console(width=170).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": results}, indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(results))


if __name__ == "__main__":
    main()
