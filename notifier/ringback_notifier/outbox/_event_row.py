"""The columns that an event fills, whoever brings it."""

from __future__ import annotations

from typing import Any

from ringback_notifier.outbox._host import host_of
from ringback_notifier.outbox._rows import OutboxEvent, Status

__all__ = ["KEPT", "SETTLED_STATUSES", "event_row"]

SETTLED_STATUSES: frozenset[Status] = frozenset({"delivered", "dead", "gone", "refused"})

KEPT = frozenset({"event_id", "created_at", "attempts", "looks"})
"""Columns of what was there before, a hint in most cases, that a new row does not replace."""


def event_row(event: OutboxEvent, *, status: Status, due_at: float, now: float) -> dict[str, Any]:
    """Return a complete new row."""
    return {
        "event_id": event.event_id,
        "dag_id": event.dag_id,
        "run_id": event.run_id,
        "state": event.state,
        "destination": event.destination,
        "url": event.url,
        "host": host_of(event.url),
        "body": event.body,
        "status": status,
        "reported_by": event.reported_by,
        "created_at": now,
        "schedule_from": now,
        "ended_at": event.ended_at,
        "due_at": due_at if status == "due" else now,
        "leased_by": None,
        "attempts": 0,
        "looks": 0,
        "settled_at": now if status in SETTLED_STATUSES else None,
    }
