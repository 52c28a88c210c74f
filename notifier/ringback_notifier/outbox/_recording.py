"""What a task or a callback did, written down beside what listener and relay know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update

from ringback_notifier.outbox._attempt_rows import write_attempts
from ringback_notifier.outbox._event_row import KEPT, event_row
from ringback_notifier.outbox._locking import unlocked
from ringback_notifier.outbox._many import insert_or
from ringback_notifier.outbox._precedence import change_of
from ringback_notifier.outbox._rows import Attempt, OutboxEvent, Recorded, run_key
from ringback_notifier.outbox._schema import HINTED, events
from ringback_notifier.outbox._wake import wake

__all__ = ["record"]

_OF_THE_BODY = ("body", "reported_by", "ended_at")


def record(
    connection: Connection,
    event: OutboxEvent,
    attempts: Sequence[Attempt],
    *,
    status: Recorded,
    due_at: float,
    now: float,
) -> None:
    row = event_row(event, status=status, due_at=due_at, now=now)
    while not (_insert(connection, row) or _merge(connection, row, status)):
        pass  # it was deleted between the two
    write_attempts(connection, [(event.event_id, attempt) for attempt in attempts])
    if event.state != "running":
        whole_run = run_key(event.dag_id, event.run_id)
        connection.execute(
            delete(events).where(events.c.event_id.in_(unlocked(HINTED, events.c.event_id == whole_run)))
        )
    if status == "due":
        wake(connection)


def _insert(connection: Connection, row: dict[str, Any]) -> bool:
    new = insert_or(connection, events).values(row).on_conflict_do_nothing().returning(events.c.event_id)
    return connection.execute(new).first() is not None


def _merge(connection: Connection, row: dict[str, Any], status: Recorded) -> bool:
    this = events.c.event_id == row["event_id"]
    present = connection.execute(
        select(events.c.status, events.c.reported_by).where(this).with_for_update()
    ).one_or_none()
    if present is None:
        return False
    change = change_of(present=present.status, built_by=present.reported_by, new=status, has_body=bool(row["body"]))
    if change == "everything":
        replaced = {name: value for name, value in row.items() if name not in KEPT}
        connection.execute(update(events).where(this).values(replaced))
    elif change == "body":
        connection.execute(update(events).where(this).values({name: row[name] for name in _OF_THE_BODY}))
    return True
