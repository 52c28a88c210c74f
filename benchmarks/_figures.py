"""Medians with their spread, printed and kept as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

__all__ = ["keep", "spread"]

_RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the quartiles, and the extremes."""
    if len(values) < 2:
        only = values[0] if values else float("nan")
        return {"median": only, "low": only, "high": only, "least": only, "most": only, "samples": len(values)}
    low, middle, high = statistics.quantiles(values, n=4)
    return {
        "median": middle,
        "low": low,
        "high": high,
        "least": min(values),
        "most": max(values),
        "samples": len(values),
    }


def keep(name: str, figures: Mapping[str, Any]) -> Path:
    """Write what was measured to ``benchmarks/results/<name>.json``."""
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{name}.json"
    measured = {"measured": datetime.now(timezone.utc).strftime("%Y-%m-%d"), **figures}
    path.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return path
