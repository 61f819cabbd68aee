"""Rows of the results table: functions that measure, registered with a name and a goal."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.harness import Harness

SQLITE, POSTGRESQL = "sqlite", "postgresql"
BOTH = (SQLITE, POSTGRESQL)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for the ratio of a row, or for its value if the goal has a unit."""

    bound: float
    least: bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit}".strip()

    def is_met(self, value: float) -> bool:
        """Return whether a value meets the bound."""
        return value >= self.bound if self.least else value <= self.bound


def at_least(bound: float, unit: str = "") -> Goal:
    """Return the goal of at least `bound`."""
    return Goal(bound, least=True, unit=unit)


def at_most(bound: float, unit: str = "") -> Goal:
    """Return the goal of at most `bound`."""
    return Goal(bound, least=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The values of a row, one per round: Batchwire's, and the baseline's if the row has one.

    Attributes:
        note: remark for the log.
        met: False if a condition beside the goal does not hold.
    """

    ours: list[float]
    unit: str
    baseline: list[float] = field(default_factory=list)
    note: str = ""
    met: bool = True

    @property
    def ratio(self) -> float | None:
        """The median of the ratios per round, since a disturbance affects a whole round."""
        if not self.baseline:
            return None
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.baseline, strict=True))


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        goals: by database. A row that does not depend on the database has one, under SQLITE.
        full: whether only `make bench-full` measures it.
    """

    name: str
    goals: dict[str, Goal | None]
    full: bool
    measure: Callable[[Harness], Measurement]


ROWS: list[Row] = []
Measure = Callable[["Harness"], Measurement]


def row(
    name: str, goal: Goal | None = None, *, postgresql: Goal | None = None, full: bool = False
) -> Callable[[Measure], Measure]:
    """Register a function as a row. With a goal for `postgresql`, it is measured there too."""

    def register(measure: Measure) -> Measure:
        goals = {SQLITE: goal} | ({POSTGRESQL: postgresql} if postgresql else {})
        ROWS.append(Row(name, goals, full, measure))
        return measure

    return register


def result(row_: Row, database: str, measurement: Measurement) -> dict[str, Any]:
    """Return the result of a row, as written to the JSON."""
    goal, ratio = row_.goals[database], measurement.ratio
    ours = statistics.median(measurement.ours)
    judged = ours if goal and goal.unit else ratio
    return {
        "what": f"{row_.name} ({database})" if len(row_.goals) > 1 else row_.name,
        "ours": ours,
        "baseline": statistics.median(measurement.baseline) if measurement.baseline else None,
        "unit": measurement.unit,
        "ratio": ratio,
        "goal": str(goal) if goal else "",
        "met": (goal.is_met(judged) and measurement.met) if goal and judged is not None else None,
        "rounds": {"ours": measurement.ours, "baseline": measurement.baseline},
        "note": measurement.note,
    }


HEADINGS = ("what", "ours", "baseline", "ratio", "goal", "met")


def cells(found: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a result, formatted."""

    def figure(value: float | None) -> str:
        return (
            ""
            if value is None
            else f"{value:,.{0 if abs(value) >= 100 else 3 if abs(value) < 1 else 1}f} {found['unit']}".strip()
        )

    ratio = "" if found["ratio"] is None else f"{found['ratio']:.2f}"
    met = {True: "yes", False: "no", None: ""}[found["met"]]
    return found["what"], figure(found["ours"]), figure(found["baseline"]), ratio, found["goal"], met


def markdown(results: list[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    lines = [HEADINGS, ("---", *("--:" for _ in HEADINGS[1:])), *map(cells, results)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
