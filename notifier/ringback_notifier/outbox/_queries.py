"""What only reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, select

from ringback_notifier.outbox._locking import Condition
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._rows import Attempt, Status
from ringback_notifier.outbox._schema import HINTED, WAITING, attempts, events

__all__ = ["attempts_of", "hinted", "known", "next_due", "status_of"]


def status_of(connection: Connection, event_id: str) -> Status | None:
    return connection.execute(select(events.c.status).where(events.c.event_id == event_id)).scalar()


def known(connection: Connection, event_ids: Iterable[str]) -> set[str]:
    return _there(connection, event_ids, events.c.status != "hint")


def hinted(connection: Connection, event_ids: Iterable[str]) -> set[str]:
    return _there(connection, event_ids, events.c.status == "hint")


def _there(connection: Connection, event_ids: Iterable[str], condition: Condition) -> set[str]:
    there: set[str] = set()
    for chunk in chunks(set(event_ids)):
        there.update(
            connection.execute(
                select(events.c.event_id).where(among(connection, events.c.event_id, chunk), condition)
            ).scalars()
        )
    return there


def next_due(connection: Connection, *, now: float, not_hosts: Collection[str]) -> float | None:
    event = select(events.c.due_at).where(WAITING).order_by(events.c.due_at).limit(1)
    if not_hosts:
        event = event.where(events.c.host.not_in(sorted(not_hosts)))
    hint = select(events.c.due_at).where(HINTED).order_by(events.c.due_at).limit(1)
    found = connection.execute(select(event.scalar_subquery(), hint.scalar_subquery())).one()
    return max(now, min(due)) if (due := [at for at in found if at is not None]) else None


def attempts_of(connection: Connection, event_id: str) -> list[Attempt]:
    rows = connection.execute(
        select(
            attempts.c.sender,
            attempts.c.at,
            attempts.c.duration,
            attempts.c.status,
            attempts.c.error,
            attempts.c.excerpt,
        )
        .where(attempts.c.event_id == event_id)
        .order_by(attempts.c.id)
    )
    return [Attempt(**row._mapping) for row in rows]
