"""Hints: written fast, looked at by one relay at a time, answered by an event or by nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Double, delete, update

from ringback_notifier.outbox._locking import locked, oldest, unlocked
from ringback_notifier.outbox._many import among, chunks, insert_or, update_rows
from ringback_notifier.outbox._rows import Hint, HintRow, event_id_of
from ringback_notifier.outbox._schema import HINTED, events
from ringback_notifier.outbox._wake import wake

__all__ = ["add", "drop", "postpone", "take"]


def add(connection: Connection, hints: Sequence[Hint], *, now: float) -> int:
    rows = {hint.key: _row(hint, now) for hint in reversed(hints)}  # of two with one key, the first
    if not rows:
        return 0
    new = insert_or(connection, events).on_conflict_do_nothing().returning(events.c.event_id)
    added = len(connection.execute(new, [rows[key] for key in sorted(rows)]).all())
    if added:
        wake(connection)
    return added


def take(connection: Connection, *, now: float, limit: int, again_at: float) -> list[HintRow]:
    taken = connection.execute(
        update(events)
        .where(events.c.event_id.in_(oldest(limit, events.c.due_at, HINTED, events.c.due_at <= now)))
        .values(due_at=again_at, looks=events.c.looks + 1)
        .returning(
            events.c.event_id,
            events.c.dag_id,
            events.c.run_id,
            events.c.state,
            events.c.reported_by,
            events.c.looks,
            events.c.created_at,
        )
    ).all()
    return [
        HintRow(
            key=row.event_id,
            dag_id=row.dag_id,
            run_id=row.run_id,
            event_id=event_id_of(row.event_id),
            state=row.state,
            seen_by=row.reported_by,
            looks=row.looks,
            created_at=row.created_at,
        )
        for row in sorted(taken, key=lambda row: (row.created_at, row.event_id))
    ]


def postpone(connection: Connection, keys: Mapping[str, float]) -> None:
    hints = [row.event_id for row in locked(connection, keys) if row.status == "hint"]
    update_rows(
        connection,
        events.c.event_id,
        [{"key": key, "again_at": keys[key]} for key in hints],
        {"again_at": Double()},
        lambda given: {"due_at": given("again_at")},
    )


def drop(connection: Connection, keys: Iterable[str]) -> None:
    for chunk in chunks(sorted(set(keys))):
        # One that is locked is just becoming something else, or is being looked at: it will be dropped then.
        connection.execute(
            delete(events).where(events.c.event_id.in_(unlocked(HINTED, among(connection, events.c.event_id, chunk))))
        )


def _row(hint: Hint, now: float) -> dict[str, Any]:
    return {
        "event_id": hint.key,
        "dag_id": hint.dag_id,
        "run_id": hint.run_id,
        "state": hint.state,
        "status": "hint",
        "reported_by": hint.seen_by,
        "created_at": now,
        "schedule_from": now,
        "due_at": hint.due_at,
        "attempts": 0,
        "looks": 0,
    }
