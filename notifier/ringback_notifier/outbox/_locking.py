"""Which rows a transaction takes, and in which order.

No two transactions may wait for each other in a circle, so: whoever may have to wait for more than one row takes them
in the order of their ids, in one go; and hints, which others deal with too, are left alone where they are locked.
SQLite knows nothing of this, and needs nothing: whoever writes there is alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Row, Select, TextClause, select

from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._schema import events

__all__ = ["Condition", "by_id", "locked", "oldest", "unlocked"]

Condition = ColumnElement[bool] | TextClause


def by_id(connection: Connection, *conditions: Condition) -> Select[tuple[str]]:
    """Select the ids of rows and lock these in order, waiting for each."""
    chosen = select(events.c.event_id).where(*conditions)
    if connection.dialect.name == "sqlite":
        return chosen  # in order, it would read the whole table
    return _picked(chosen.order_by(events.c.event_id).with_for_update())


def oldest(limit: int, column: ColumnElement[float], *conditions: Condition) -> Select[tuple[str]]:
    """Select the ids of the rows with the lowest times, but none that somebody has locked, and lock them."""
    chosen = select(events.c.event_id).where(*conditions).order_by(column).limit(limit)
    return _picked(chosen.with_for_update(skip_locked=True))


def unlocked(*conditions: Condition) -> Select[tuple[str]]:
    """Select the ids of rows, but none that somebody has locked, and lock them."""
    return _picked(select(events.c.event_id).where(*conditions).with_for_update(skip_locked=True))


def locked(connection: Connection, event_ids: Iterable[str]) -> list[Row[tuple[str, str, str | None]]]:
    """Lock rows in order, waiting for each, and return their ids, statuses and who leased them."""
    rows: list[Row[tuple[str, str, str | None]]] = []
    for chunk in chunks(sorted(set(event_ids))):
        rows += connection.execute(
            select(events.c.event_id, events.c.status, events.c.leased_by)
            .where(among(connection, events.c.event_id, chunk))
            .order_by(events.c.event_id)
            .with_for_update()
        )
    return rows


def _picked(choice: Select[tuple[str]]) -> Select[tuple[str]]:
    # A common table expression that locks is evaluated once; a subquery may be evaluated again and lock more.
    picked = choice.cte("picked")
    return select(picked.c.event_id)
