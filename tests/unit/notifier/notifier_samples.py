"""Keys, endings and Airflow look-alikes that the notifier's tests share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from ringback_notifier._destination import Destination, parse_destination
from ringback_notifier._report import Site
from ringback_notifier.outbox import Attempt, Hint, OutboxEvent, Status
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


@dataclass
class Record:
    """What somebody told a :class:`FakeOutbox` of an event."""

    event: OutboxEvent
    attempts: list[Attempt]
    status: Status
    due_at: float
    now: float


@dataclass
class FakeOutbox:
    """An outbox in memory, as far as those who write to it need one; it can be told to fail."""

    records: list[Record] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    fails_with: Exception | None = None
    closed: int = 0
    forgotten: int = 0

    @property
    def record_made(self) -> Record:
        (made,) = self.records
        return made

    def status_of(self, event_id: str) -> Status | None:
        self._maybe_fail()
        return self.statuses.get(event_id)

    def record(
        self, event: OutboxEvent, attempts: Sequence[Attempt], *, status: Status, due_at: float, now: float
    ) -> None:
        self._maybe_fail()
        self.records.append(Record(event, list(attempts), status, due_at, now))

    def add_hints(self, hints: Sequence[Hint], *, now: float) -> int:
        self._maybe_fail()
        self.hints.extend(hints)
        self.batches.append(len(hints))
        return len(hints)

    def close(self) -> None:
        self.closed += 1

    def forget(self) -> None:
        self.forgotten += 1

    def _maybe_fail(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with
