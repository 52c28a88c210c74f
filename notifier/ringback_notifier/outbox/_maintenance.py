"""Second chances, and an end to everything."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Select, delete, update

from ringback_notifier.outbox._locking import Condition, by_id, oldest
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._rows import Status
from ringback_notifier.outbox._schema import HINTED, SETTLED, attempts, events
from ringback_notifier.outbox._wake import wake

__all__ = ["purge", "redeliver"]

_BY_DEFAULT: tuple[Status, ...] = ("dead", "gone", "refused")
_POSSIBLE: tuple[Status, ...] = (*_BY_DEFAULT, "delivered", "due")


def redeliver(
    connection: Connection,
    *,
    event_ids: Collection[str] | None,
    since: float | None,
    until: float | None,
    statuses: Collection[Status] | None,
    dag_id: str | None,
    destination: str | None,
    now: float,
) -> int:
    chosen = event_ids is not None or since is not None
    possible = _POSSIBLE if chosen else tuple(status for status in _POSSIBLE if status != "delivered")
    if statuses is None:
        statuses = _BY_DEFAULT if event_ids is None else (*_BY_DEFAULT, "delivered")
    if wrong := sorted(set(statuses) - set(possible)):
        raise ValueError(f"redeliver: status {', '.join(wrong)} is not one of {', '.join(possible)}")
    # A malformed request left nothing to send.
    conditions: list[Condition] = [
        events.c.status.in_(sorted(statuses)),
        events.c.url != "",
        events.c.body.is_not(None),
    ]
    if since is not None:
        conditions.append(events.c.created_at >= since)
    if until is not None:
        conditions.append(events.c.created_at < until)
    if dag_id is not None:
        conditions.append(events.c.dag_id == dag_id)
    if destination is not None:
        conditions.append(events.c.destination == destination)
    if event_ids is None:
        again = _make_due(connection, conditions, now)
    else:
        again = sum(
            _make_due(connection, [*conditions, among(connection, events.c.event_id, chunk)], now)
            for chunk in chunks(sorted(set(event_ids)))
        )
    if again:
        wake(connection)
    return again


def _make_due(connection: Connection, conditions: list[Condition], now: float) -> int:
    again = connection.execute(
        update(events)
        .where(events.c.event_id.in_(by_id(connection, *conditions)))
        .values(status="due", due_at=now, schedule_from=now, leased_by=None, attempts=0, settled_at=None)
        .returning(events.c.event_id)
    )
    return len(again.all())  # Python's sqlite3 counts no rows of a statement that begins with WITH


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
