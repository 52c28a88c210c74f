"""An end to everything."""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, func, select

from ringback_notifier.outbox._locking import oldest
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._schema import HINTED, SETTLED, attempts, events
from ringback_notifier.outbox._shown import Count

__all__ = ["count_purgeable", "purge"]


def count_purgeable(connection: Connection, *, before: float, cap: int) -> Count:
    old = select(events.c.event_id).where(SETTLED, events.c.settled_at < before).limit(cap)
    hints = select(events.c.event_id).where(HINTED, events.c.created_at < before).limit(cap)
    number = sum(
        connection.execute(select(func.count()).select_from(part.subquery())).scalar_one() for part in (old, hints)
    )
    return Count(min(number, cap), number >= cap)


def purge(connection: Connection, *, before: float, limit: int) -> int:
    old = oldest(limit, events.c.settled_at, SETTLED, events.c.settled_at < before)
    purged = _delete(connection, old)
    if len(purged) < limit:
        left = limit - len(purged)
        purged += _delete(connection, oldest(left, events.c.created_at, HINTED, events.c.created_at < before))
    for chunk in chunks(purged):
        connection.execute(delete(attempts).where(among(connection, attempts.c.event_id, chunk)))
    return len(purged)


def _delete(connection: Connection, chosen: Select[tuple[str]]) -> list[str]:
    gone = delete(events).where(events.c.event_id.in_(chosen)).returning(events.c.event_id)
    return list(connection.execute(gone).scalars())
