"""The figures as pictures: measured against goals, latency, throughput.

SVG whose bytes depend on nothing but the figures, in colours that are read on white and on black.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks._figures import RATIO, Figure, Goal, amount
from benchmarks._one_program import Outcome

__all__ = ["draw"]

Plot = Callable[[Axes, Sequence[Figure]], None]

_INK, _FAINT = "#768390", "#7683904d"
_OURS, _THEIRS, _WHISKER = "#2f81f7", "#8b949e", "#d29922"
_JUDGED = {"holds": _OURS, "short": "#e5534b", None: _THEIRS}
_MOST_HEADROOM = 100.0
_STYLE: Any = {
    "svg.hashsalt": "ringback",  # else its ids are made up
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}
_ROW_INCHES, _WIDTH_INCHES = 0.42, 9.5


def draw(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write the charts for which there are figures; return their files."""
    figures = {outcome.name: outcome.figures for outcome in outcomes}
    everything = [figure for of in figures.values() for figure in of]
    folder.mkdir(parents=True, exist_ok=True)
    charts: dict[str, tuple[list[Figure], Plot]] = {
        "goals": ([figure for figure in everything if figure.goal], _against_goals),
        "latency": ([figure for figure in figures.get("ring_latency", ()) if figure.unit == "s"], _latency),
        "throughput": ([figure for figure in everything if figure.unit == "events/s"], _throughput),
    }
    drawn = []
    for name, (rows, plot) in charts.items():
        if rows:
            drawn.append(folder / f"{name}.svg")
            _write(drawn[-1], rows, plot)
    return drawn


def _write(path: Path, rows: Sequence[Figure], plot: Plot) -> None:
    with mpl.rc_context(_STYLE):
        picture = Picture(figsize=(_WIDTH_INCHES, 1.1 + _ROW_INCHES * len(rows)), layout="constrained")
        axes = picture.add_subplot()
        axes.set_yticks(range(len(rows)), [row.name.replace(" ÷ ", "\n÷ ") for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(axis="x", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        plot(axes, rows)
        picture.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def _against_goals(axes: Axes, rows: Sequence[Figure]) -> None:
    """Draw how far each median is on the right side of its goal, or on the wrong one."""
    for y, row in enumerate(rows):
        assert row.goal is not None
        _dot(axes, y, [_headroom(row.goal, value) for value in (row.low, row.median, row.high)], _JUDGED[row.verdict])
        unit = "" if row.unit == RATIO else f" {row.unit}"
        _note(axes, y, f"{amount(row.median)}{unit}, goal {row.goal}: {row.verdict}")
    axes.set_xscale("log")
    axes.axvline(1.0, color=_INK, linewidth=1.2)
    low, high = axes.get_xlim()
    _ticks(axes, [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high])
    axes.set_xlabel("times better than the goal, median and quartiles")


def _headroom(goal: Goal, value: float) -> float:
    """Return by what factor a value is better than its goal, up to a hundred."""
    if goal.direction == "at least":
        return min(value / goal.bound, _MOST_HEADROOM)
    return min(goal.bound / value, _MOST_HEADROOM) if value > 0 else _MOST_HEADROOM


def _latency(axes: Axes, rows: Sequence[Figure]) -> None:
    """Draw seconds, which may be below nought, on a scale that is linear about it."""
    for y, row in enumerate(rows):
        colour = _OURS if row.name.startswith("ringback") else _THEIRS
        _dot(axes, y, (row.low, row.median, row.high), colour)
        _note(axes, y, f"{amount(row.median)} s")
    axes.set_xscale("symlog", linthresh=0.1, linscale=1.0)
    axes.axvline(0.0, color=_INK, linewidth=0.8, linestyle=":")
    _ticks(axes, [-0.1, 0, 0.1, 0.3, 1, 3, 10])
    axes.set_xlabel("seconds from the committed end of a run until its caller knows, median and quartiles")


def _throughput(axes: Axes, rows: Sequence[Figure]) -> None:
    """Draw bars of events a second."""
    for y, row in enumerate(rows):
        ours = row.name.startswith(("Ringback", "relay"))
        axes.barh(y, row.median, height=0.6, color=_OURS if ours else _THEIRS)
        axes.plot([row.low, row.high], [y, y], color=_WHISKER, linewidth=2)
        _note(axes, y, f"{amount(row.median)}")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("events a second, median and quartiles")


def _dot(axes: Axes, y: int, at: Sequence[float], colour: str) -> None:
    low, median, high = at
    axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
    axes.plot(median, y, marker="o", color=colour, markersize=6)


def _note(axes: Axes, y: int, text: str) -> None:
    """Write beside the axes, at the right."""
    axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), verticalalignment="center", fontsize=9)


def _ticks(axes: Axes, at: Sequence[float]) -> None:
    axes.set_xticks(at, [f"{tick:g}" for tick in at])
    axes.xaxis.set_minor_locator(NullLocator())
