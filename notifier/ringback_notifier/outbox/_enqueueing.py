"""What the relay found out: events to deliver, and events that nobody may deliver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ringback_notifier.outbox import _hints
from ringback_notifier.outbox._attempt_rows import write_attempts
from ringback_notifier.outbox._event_row import KEPT, event_row
from ringback_notifier.outbox._many import insert_or
from ringback_notifier.outbox._rows import Attempt, OutboxEvent
from ringback_notifier.outbox._schema import events
from ringback_notifier.outbox._wake import wake

__all__ = ["enqueue", "refuse"]


def enqueue(connection: Connection, found: Sequence[OutboxEvent], *, now: float, drop: Sequence[str]) -> set[str]:
    rows = {event.event_id: event_row(event, status="due", due_at=now, now=now) for event in reversed(found)}
    written = _insert_or_replace_hints(connection, rows)
    _hints.drop(connection, drop)
    if written:
        wake(connection)
    return written


def refuse(connection: Connection, event: OutboxEvent, why: str, *, now: float) -> bool:
    row = event_row(event, status="refused", due_at=now, now=now)
    if not _insert_or_replace_hints(connection, {event.event_id: row}):
        return False
    attempt = Attempt(sender="relay", at=now, duration=0.0, status=None, error=why)
    write_attempts(connection, [(event.event_id, attempt)])
    return True


def _insert_or_replace_hints(connection: Connection, rows: dict[str, dict[str, Any]]) -> set[str]:
    """Insert rows, in order, where there is nothing or a hint; return the ids of those that were."""
    if not rows:
        return set()
    new = insert_or(connection, events)
    upsert = new.on_conflict_do_update(
        index_elements=[events.c.event_id],
        set_={column.name: column for column in new.excluded if column.name not in KEPT},
        where=events.c.status == "hint",
    ).returning(events.c.event_id)
    return set(connection.execute(upsert, [rows[key] for key in sorted(rows)]).scalars())
