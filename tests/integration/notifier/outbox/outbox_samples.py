"""Hints, events and attempts to put into an outbox."""

from __future__ import annotations

from typing import Any

from ringback_notifier.outbox import Attempt, EventRow, Hint, Outbox, OutboxEvent, Settlement

NOW = 1_780_000_000.0


def make_hint(number: int = 1, **changes: Any) -> Hint:
    hint: dict[str, Any] = {
        "dag_id": "sales_report",
        "run_id": f"ext__{number}",
        "event_id": f"msg_{number:04d}",
        "state": "success",
        "seen_by": "listener",
        "due_at": NOW,
    }
    return Hint(**{**hint, **changes})


def make_event(number: int = 1, **changes: Any) -> OutboxEvent:
    event: dict[str, Any] = {
        "event_id": f"msg_{number:04d}",
        "dag_id": "sales_report",
        "run_id": f"ext__{number}",
        "state": "success",
        "destination": "default",
        "url": "https://Portal.example/airflow/completions?x=1",
        "body": b'{"by":"relay"}',
        "reported_by": "relay",
        "ended_at": NOW - 2,
    }
    return OutboxEvent(**{**event, **changes})


def make_attempt(**changes: Any) -> Attempt:
    attempt: dict[str, Any] = {
        "sender": "relay",
        "at": NOW,
        "duration": 0.25,
        "status": 503,
        "error": "status 503",
        "excerpt": "later",
    }
    return Attempt(**{**attempt, **changes})


def lease(outbox: Outbox, owner: str = "relay-1", *, now: float = NOW, limit: int = 100, **more: Any) -> list[str]:
    """Lease for a minute and return the ids."""
    return [event.event_id for event in outbox.lease(owner=owner, now=now, until=now + 60, limit=limit, **more)]


def settlement(event_id: str, status: Any, *, due_at: float = NOW + 5, attempt: Attempt | None = None) -> Settlement:
    return Settlement(event_id=event_id, status=status, due_at=due_at, attempt=attempt)


def row(outbox: Outbox, event_id: str) -> EventRow:
    found = outbox.event(event_id)
    assert found is not None
    return found


def settled(outbox: Outbox, number: int, status: Any, **changes: Any) -> str:
    """Put an event into the outbox that a relay has finished with, and return its id."""
    event = make_event(number, **changes)
    outbox.enqueue([event], now=NOW)
    assert event.event_id in lease(outbox, "earlier")
    outbox.settle("earlier", [settlement(event.event_id, status, attempt=make_attempt())], now=NOW + 1)
    return event.event_id


def failed(outbox: Outbox, *numbers: int, now: float = NOW + 10) -> None:
    """Have a relay try events once, in vain."""
    ids = [f"msg_{number:04d}" for number in numbers]
    taken = set(lease(outbox, "earlier", now=now))
    assert taken >= set(ids)
    outbox.settle("earlier", [settlement(id_, "due", attempt=make_attempt()) for id_ in ids], now=now)
