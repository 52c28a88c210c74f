"""Leases: an event is given to one owner at a time, and to another only when the first one's time is up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields

from sqlalchemy import Connection, update

from ringback_notifier.outbox._locking import Condition, by_id, oldest
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._rows import Leased
from ringback_notifier.outbox._schema import WAITING, events
from ringback_notifier.outbox._wake import wake

__all__ = ["lease", "release"]

_LEASED = tuple(field.name for field in fields(Leased))


def lease(
    connection: Connection, *, owner: str, now: float, until: float, limit: int, not_hosts: Collection[str]
) -> list[Leased]:
    conditions: list[Condition] = [WAITING, events.c.due_at <= now]
    if not_hosts:
        conditions.append(events.c.host.not_in(sorted(not_hosts)))
    rows = connection.execute(
        update(events)
        .where(events.c.event_id.in_(oldest(limit, events.c.due_at, *conditions)))
        .values(status="leased", leased_by=owner, due_at=until)
        .returning(*(events.c[field] for field in _LEASED))
    )
    # How long each was due, the lease has overwritten.
    leased = [Leased(**dict(zip(_LEASED, row, strict=True))) for row in rows]
    return sorted(leased, key=lambda event: (event.created_at, event.event_id))


def release(connection: Connection, owner: str, event_ids: Sequence[str] | None, *, due_at: float) -> int:
    if event_ids is None:
        released = _release(connection, _held_by(owner), due_at)
    else:
        released = sum(
            _release(connection, [*_held_by(owner), among(connection, events.c.event_id, chunk)], due_at)
            for chunk in chunks(sorted(set(event_ids)))
        )
    if released:
        wake(connection)
    return released


def _release(connection: Connection, conditions: Sequence[Condition], due_at: float) -> int:
    released = connection.execute(
        update(events)
        .where(events.c.event_id.in_(by_id(connection, *conditions)))
        .values(status="due", leased_by=None, due_at=due_at)
        .returning(events.c.event_id)
    )
    return len(released.all())  # Python's sqlite3 counts no rows of a statement that begins with WITH


def _held_by(owner: str) -> list[Condition]:
    return [WAITING, events.c.status == "leased", events.c.leased_by == owner]
