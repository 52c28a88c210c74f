"""What indexes for people cost a relay."""

from __future__ import annotations

import itertools
import time

from sqlalchemy import text

from benchmarks._figures import ratios
from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent, Settlement

__all__ = ["write_rates"]

_NOW = 1_790_000_000.0
_BATCH = 200
_BATCHES = 10

_WIDE = {
    "ringback_event_by_age": "(created_at, event_id)",
    "ringback_event_by_run": "(run_id, created_at, event_id)",
    "ringback_event_by_dag": "(dag_id, created_at, event_id)",
    "ringback_event_by_destination": "(destination, created_at, event_id) WHERE destination IS NOT NULL",
    "ringback_event_by_end": "(status, created_at, event_id) WHERE settled_at IS NOT NULL",
    "ringback_event_by_stage": "(status, created_at, event_id) WHERE settled_at IS NULL",
}
_NARROW = {
    "ringback_event_by_age": "(created_at)",
    "ringback_event_by_run": "(dag_id, run_id)",
    "ringback_event_by_end": "(status, created_at) WHERE settled_at IS NOT NULL",
}


def write_rates(outbox: Outbox, rounds: int) -> dict[str, list[float]]:
    """Return events a second with each set of indexes, and the ratio of the two, in turns."""
    numbers = itertools.count()
    rates: dict[str, list[float]] = {"with": [], "without": []}
    _empty_of_open(outbox)
    for number in range(rounds + 1):
        for which, indexes in (("without", _NARROW), ("with", _WIDE)):
            _have(outbox, indexes)
            _round(outbox, numbers)
            rate = _round(outbox, numbers)
            if number:
                rates[which].append(rate)
    return {**rates, "ratio": ratios(rates["with"], rates["without"])}


def _empty_of_open(outbox: Outbox) -> None:
    with outbox._database.writing() as connection:
        connection.execute(text("DELETE FROM ringback_event WHERE settled_at IS NULL"))


def _have(outbox: Outbox, indexes: dict[str, str]) -> None:
    outbox._database.close()
    with outbox._database.writing() as connection:
        kind = connection.dialect.name
        if kind == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        for name in _WIDE:
            connection.execute(text(f"DROP INDEX IF EXISTS {name}"))
        for name, what in indexes.items():
            connection.execute(text(f"CREATE INDEX {name} ON ringback_event {what}"))
    with outbox._database.reading() as connection:
        connection.execute(text("VACUUM ANALYZE ringback_event" if kind == "postgresql" else "SELECT 1"))
        connection.execute(text("CHECKPOINT" if kind == "postgresql" else "PRAGMA wal_checkpoint(TRUNCATE)"))


def _round(outbox: Outbox, numbers: itertools.count[int]) -> float:
    body = b'{"specversion":"1.0","data":{"result":"' + b"x" * 900 + b'"}}'
    started = time.perf_counter()
    for _ in range(_BATCHES):
        batch = list(itertools.islice(numbers, _BATCH))
        events = [
            OutboxEvent(
                event_id=f"msg_written{number}",
                dag_id=f"dag_{number * 7919 % 500}",
                run_id=f"scheduled__{number * 104729 % 1000003}",
                state="success",
                destination="default",
                url="https://portal.example/airflow/completions",
                body=body,
                reported_by="relay",
                ended_at=_NOW,
            )
            for number in batch
        ]
        outbox.enqueue(events, now=_NOW + batch[0])
        leased = outbox.lease(owner="bench", now=_NOW + 1e9, until=_NOW + 1e9, limit=_BATCH)
        attempt = Attempt(sender="relay", at=_NOW, duration=0.1, status=204, error=None)
        settled = [
            Settlement(event_id=event.event_id, status="delivered", due_at=0.0, attempt=attempt) for event in leased
        ]
        outbox.settle("bench", settled, now=_NOW + 1e9)
        if len(settled) != _BATCH:
            raise RuntimeError(f"{len(settled)} of {_BATCH} events were leased")
    return _BATCH * _BATCHES / (time.perf_counter() - started)
