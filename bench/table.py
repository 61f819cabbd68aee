"""What a row of the table is: a function that measures, its goal beside it."""

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
    """A bound for a row's ratio, or for the figure itself where it says a unit."""

    bound: float
    least: bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit}".strip()

    def is_met(self, value: float) -> bool:
        """Return whether a value is within the bound."""
        return value >= self.bound if self.least else value <= self.bound


def at_least(bound: float, unit: str = "") -> Goal:
    """Return the goal to reach a bound."""
    return Goal(bound, least=True, unit=unit)


def at_most(bound: float, unit: str = "") -> Goal:
    """Return the goal to stay within a bound."""
    return Goal(bound, least=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a row has found: a figure of ours per round, and of the baseline in the same round, where there is one.

    Attributes:
        note: what else was seen.
        met: what else must hold for the goal to be met.
    """

    ours: list[float]
    unit: str
    baseline: list[float] = field(default_factory=list)
    note: str = ""
    met: bool = True

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: a round is disturbed as a whole, if at all."""
        if not self.baseline:
            return None
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.baseline, strict=True))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        goals: by database; the one goal of a row that no database changes is under SQLITE.
        full: measured by `make bench-full` only.
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
    """Make a function that measures a row of the table. With a goal for `postgresql`, it is measured there too."""

    def made(measure: Measure) -> Measure:
        goals = {SQLITE: goal} | ({POSTGRESQL: postgresql} if postgresql else {})
        ROWS.append(Row(name, goals, full, measure))
        return measure

    return made


def result(row_: Row, database: str, measurement: Measurement) -> dict[str, Any]:
    """Return a row's result, as it goes into the JSON."""
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
    """Return a result's cells, in words."""

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
