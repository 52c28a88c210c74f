"""Duties: what one of several relays does for all, until it leaves or its time is up."""

from __future__ import annotations

from sqlalchemy import Connection, delete, or_, select, update

from ringback_notifier.outbox._many import insert_or
from ringback_notifier.outbox._rows import Duty
from ringback_notifier.outbox._schema import duties

__all__ = ["forget", "leave", "listed", "set_value", "take", "value"]

_LEFT = 0.0


def take(connection: Connection, name: str, holder: str, *, now: float, until: float) -> bool:
    new = insert_or(connection, duties).values(name=name, holder=holder, until=until)
    taken = new.on_conflict_do_update(
        index_elements=[duties.c.name],
        set_={"holder": new.excluded.holder, "until": new.excluded.until},
        where=or_(duties.c.holder == holder, duties.c.until <= now),
    ).returning(duties.c.name)
    return connection.execute(taken).first() is not None


def value(connection: Connection, name: str) -> str | None:
    return connection.execute(select(duties.c.value).where(duties.c.name == name)).scalar()


def set_value(connection: Connection, name: str, holder: str, value: str) -> bool:
    mine = (duties.c.name == name, duties.c.holder == holder)
    return connection.execute(update(duties).where(*mine).values(value=value)).rowcount > 0


def leave(connection: Connection, name: str, holder: str) -> None:
    mine = (duties.c.name == name, duties.c.holder == holder)
    connection.execute(update(duties).where(*mine).values(until=_LEFT))


def listed(connection: Connection, prefix: str) -> list[Duty]:
    rows = connection.execute(
        select(duties.c.name, duties.c.holder, duties.c.until, duties.c.value)
        .where(duties.c.name.startswith(prefix, autoescape=True))
        .order_by(duties.c.name)
    )
    return [Duty(*row) for row in rows]


def forget(connection: Connection, prefix: str, *, before: float) -> int:
    ended = (duties.c.name.startswith(prefix, autoescape=True), duties.c.until < before)
    return connection.execute(delete(duties).where(*ended)).rowcount
