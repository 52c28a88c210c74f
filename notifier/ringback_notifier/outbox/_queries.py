"""What only reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import get_args

from sqlalchemy import Connection, TextClause, func, select, union_all

from ringback_notifier.outbox._event_row import SETTLED_STATUSES
from ringback_notifier.outbox._locking import Condition
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._rows import Attempt, Status
from ringback_notifier.outbox._schema import HINTED, SETTLED, WAITING, attempts, events
from ringback_notifier.outbox._shown import EventRow

__all__ = ["attempts_of", "counts", "find", "hinted", "known", "next_due", "status_of"]

_PARTS: dict[frozenset[Status], TextClause] = {
    frozenset({"hint"}): HINTED,
    frozenset({"due", "leased"}): WAITING,
    SETTLED_STATUSES: SETTLED,
}
"""Every row is in one of these, and each has its indexes."""


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


def counts(connection: Connection) -> dict[Status, int]:
    parts = [select(events.c.status, func.count()).where(part).group_by(events.c.status) for part in _PARTS.values()]
    found = connection.execute(union_all(*parts))
    return {**dict.fromkeys(get_args(Status), 0), **{row[0]: row[1] for row in found}}


def find(
    connection: Connection,
    *,
    event_ids: Collection[str] | None,
    statuses: Collection[Status] | None,
    dag_id: str | None,
    run_id: str | None,
    destination: str | None,
    since: float | None,
    until: float | None,
    limit: int,
) -> list[EventRow]:
    rows = select(events).order_by(events.c.created_at.desc(), events.c.event_id).limit(limit)
    if event_ids is not None:
        rows = rows.where(events.c.event_id.in_(sorted(event_ids)))
    if statuses is not None:
        rows = rows.where(events.c.status.in_(sorted(statuses)))
        # Said also as the index says it, if there is one for all of them.
        rows = rows.where(*(part for those, part in _PARTS.items() if those.issuperset(statuses)))
    for column, wanted in ((events.c.dag_id, dag_id), (events.c.run_id, run_id), (events.c.destination, destination)):
        if wanted is not None:
            rows = rows.where(column == wanted)
    if since is not None:
        rows = rows.where(events.c.created_at >= since)
    if until is not None:
        rows = rows.where(events.c.created_at < until)
    return [EventRow(**row._mapping) for row in connection.execute(rows)]


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
