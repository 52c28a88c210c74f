"""Keys, endings and Airflow look-alikes that the notifier's tests share."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from ringback_notifier._destination import Destination, parse_destination
from ringback_notifier._report import Site
from ringback_protocol import PrivateKey, Secret

PRIVATE = PrivateKey.generate()
SECRET = Secret.generate()
URL = "https://portal.example/airflow/completions"
SITE = Site(source="https://airflow.example", base_url="https://airflow.example/prefix")
STARTED = datetime(2026, 7, 2, 0, 2, 58, 800_000, tzinfo=timezone.utc)
ENDED = datetime(2026, 7, 2, 0, 3, 11, 204_001, tzinfo=timezone.utc)


def destination(extra: Any = None, *, name: str = "default", password: str | None = None) -> Destination:
    """Read a destination; by default one that allows :data:`URL`."""
    settings = {"allow": ["https://portal.example/airflow/"]} if extra is None else extra
    return parse_destination(
        name,
        conn_type="ringback",
        password=PRIVATE.reveal() if password is None else password,
        extra=settings if isinstance(settings, str) else json.dumps(settings),
    )


def dag_run(**changes: Any) -> Any:
    """Return what a context's ``dag_run`` looks like."""
    members: dict[str, Any] = {
        "dag_id": "sales_report",
        "run_id": "ext__1",
        "conf": {"callback": {"url": URL, "correlation_id": "req_1"}},
        "state": "success",
        "logical_date": None,
        "run_after": STARTED,
        "start_date": STARTED,
        "end_date": ENDED,
    }
    return SimpleNamespace(**{**members, **changes})
