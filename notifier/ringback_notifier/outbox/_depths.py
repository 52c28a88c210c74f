"""Counting what lies in the outbox, however much that is: along the indexes, never in the rows, and not for ever."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, literal, select, union_all

from ringback_notifier.outbox._locking import Condition
from ringback_notifier.outbox._rows import Depths
from ringback_notifier.outbox._schema import HINTED, SETTLED, WAITING, events

__all__ = ["depths"]

_PLACES: dict[str, tuple[Condition, ...]] = {
    "hint": (HINTED,),
    "waiting": (WAITING,),
    "dead": (SETTLED, events.c.status == "dead"),
    "refused": (SETTLED, events.c.status == "refused"),
}
"""What an index alone can tell.  Due and leased are one to it."""


def depths(connection: Connection, *, now: float, most: int) -> Depths:
    counts = union_all(*(_count(place, conditions, most) for place, conditions in _PLACES.items()))
    rows = {place: int(number) for place, number in connection.execute(counts)}
    oldest = connection.execute(select(events.c.due_at).where(WAITING).order_by(events.c.due_at).limit(1)).scalar()
    return Depths(rows=rows, oldest_due=None if oldest is None or oldest > now else oldest)


def _count(place: str, conditions: tuple[Condition, ...], most: int) -> Any:
    found = select(literal(1)).where(*conditions).select_from(events).limit(most).subquery()
    return select(literal(place), func.count()).select_from(found)
