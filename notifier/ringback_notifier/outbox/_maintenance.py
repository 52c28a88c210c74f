"""An end to everything."""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete

from ringback_notifier.outbox._locking import oldest
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._schema import HINTED, SETTLED, attempts, events

__all__ = ["purge"]


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
