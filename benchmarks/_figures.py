"""What a benchmark found: a figure with its spread, the goal it is held to, and the one place that judges."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "RATIO",
    "RESULTS",
    "RESULTS_VARIABLE",
    "Figure",
    "Goal",
    "amount",
    "at_least",
    "at_most",
    "keep",
    "ratios",
    "spread",
]

RATIO = "ratio"
RESULTS = Path(__file__).parent / "results"
RESULTS_VARIABLE = "RINGBACK_BENCH_RESULTS"
"""Names the folder that the runner has a program write to, in place of ``benchmarks/results``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What a median is to be; ``at_least`` and ``at_most`` make one."""

    direction: Literal["at least", "at most"]
    bound: float

    def __str__(self) -> str:
        return f"{'≥' if self.direction == 'at least' else '≤'} {self.bound:,g}"

    def met_by(self, value: float) -> bool:
        """Say whether a value is on the right side; what is no number is not."""
        return value >= self.bound if self.direction == "at least" else value <= self.bound


def at_least(bound: float) -> Goal:
    """Return a goal that more is better for."""
    return Goal(direction="at least", bound=bound)


def at_most(bound: float) -> Goal:
    """Return a goal that less is better for."""
    return Goal(direction="at most", bound=bound)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One thing that was measured.

    :param unit: ``RATIO``, or what the values are counted in.
    :param goal: nothing where a figure is there for comparison.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    samples: int
    goal: Goal | None = None

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str = RATIO, goal: Goal | None = None) -> Figure:
        """Return the figure of some samples, with the quartiles as its spread."""
        found = spread(values)
        return cls(
            name=name,
            unit=unit,
            median=found["median"],
            low=found["low"],
            high=found["high"],
            samples=len(values),
            goal=goal,
        )

    @property
    def verdict(self) -> Literal["holds", "short"] | None:
        """What is to be said of the goal, if there is one."""
        if self.goal is None:
            return None
        return "holds" if self.goal.met_by(self.median) else "short"

    def record(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "low": self.low,
            "high": self.high,
            "samples": self.samples,
            "goal": self.goal and {"direction": self.goal.direction, "bound": self.goal.bound},
            "verdict": self.verdict,
        }

    @classmethod
    def parse(cls, record: Mapping[str, Any]) -> Figure:
        """Return the figure of a record, which is judged anew."""
        goal = Goal(**record["goal"]) if record["goal"] else None
        return cls(goal=goal, **{name: record[name] for name in ("name", "unit", "median", "low", "high", "samples")})

    def __str__(self) -> str:
        """What a program prints of it."""
        text = f"{self.name}: {amount(self.median)} [{amount(self.low)} to {amount(self.high)}]"
        if self.unit != RATIO:
            text += f" {self.unit}"
        return text if self.goal is None else f"{text}, goal {self.goal}: {self.verdict}"


def amount(value: float) -> str:
    """Write a number with three digits or so."""
    size = abs(value)
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Divide pair by pair, each of one round, so that a machine's moods hit both."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the quartiles, and the extremes."""
    if len(values) < 2:
        only = values[0] if values else float("nan")
        return {"median": only, "low": only, "high": only, "least": only, "most": only, "samples": len(values)}
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")  # nothing beyond what was measured
    return {
        "median": middle,
        "low": low,
        "high": high,
        "least": min(values),
        "most": max(values),
        "samples": len(values),
    }


def keep(name: str, details: Mapping[str, Any], figures: Sequence[Figure] = ()) -> Path:
    """Print the figures and write them, with the details behind them, to ``benchmarks/results/<name>.json``."""
    for figure in figures:
        print(f"  {figure}")
    folder = Path(os.environ.get(RESULTS_VARIABLE) or RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    measured: dict[str, Any] = {"measured": datetime.now(timezone.utc).strftime("%Y-%m-%d")}
    if figures:
        measured["figures"] = [figure.record() for figure in figures]
    path.write_text(json.dumps({**measured, **details}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
