"""Runs, and what an outbox knows of them."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from ringback_notifier.outbox import Outbox

URL = "https://portal.example/airflow/completions"


def a_run(run_id: str, **changes: Any) -> Any:
    """What Airflow passes to a listener."""
    members: dict[str, Any] = {
        "dag_id": "d",
        "run_id": run_id,
        "conf": {"callback_url": URL},
        "start_date": datetime(2026, 7, 2, tzinfo=timezone.utc),
        "dag": None,
    }
    return SimpleNamespace(**{**members, **changes})


def noted(url: str) -> set[str]:
    """Return the ids of the runs that are in an outbox as hints."""
    outbox = Outbox.open(url, wait=10.0)
    try:
        return {hint.run_id for hint in outbox.take_hints(now=1e12, limit=100_000, again_at=0.0)}
    finally:
        outbox.close()
