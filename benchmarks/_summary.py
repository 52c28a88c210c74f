"""All figures of one run: the table that is printed, and the JSON that is kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.table import Table
from rich.text import Text

from benchmarks._figures import RATIO, Figure, amount
from benchmarks._one_program import Outcome

__all__ = ["machine", "table", "write"]

_COLOURS = {"holds": "green", "short": "red"}


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return a row for every figure, and one for every program that has none."""
    made = Table("figure", title_justify="left")
    for column in ("median", "quartiles"):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("samples", justify="right")
    made.add_column("goal", no_wrap=True)
    made.add_column("")
    for outcome in outcomes:
        for figure in outcome.figures:
            made.add_row(*_cells(figure), style="" if figure.goal else "dim")
        if not outcome.figures:
            said = Text("failed", style="bold red") if outcome.failed else Text("")
            made.add_row(f"{outcome.name}: {outcome.said}", "", "", "", "", said)
        made.add_section()
    return made


def _cells(figure: Figure) -> tuple[str | Text, ...]:
    unit = "" if figure.unit == RATIO else f" {figure.unit}"
    return (
        figure.name,
        f"{amount(figure.median)}{unit}",
        f"{amount(figure.low)} to {amount(figure.high)}",
        str(figure.samples),
        str(figure.goal or ""),
        Text(figure.verdict or "", style=_COLOURS.get(figure.verdict or "", "")),
    )


def machine() -> dict[str, object]:
    """Return what the figures depend on, and nothing that names the machine."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "airflow": version("apache-airflow-core"),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
    }


def write(path: Path, outcomes: Sequence[Outcome], *, quick: bool) -> None:
    """Keep everything as JSON."""
    kept = {
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "quick": quick,
        "machine": machine(),
        "programs": [outcome.record() for outcome in outcomes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
