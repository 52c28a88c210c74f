"""Counting what lies in the outbox, however much that is: along the indexes, and not for ever."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, func, literal, select, union_all

from ringback_notifier.outbox._queries import PARTS
from ringback_notifier.outbox._rows import Depths, Status
from ringback_notifier.outbox._schema import WAITING, events

__all__ = ["depths"]


def depths(connection: Connection, statuses: Collection[Status], *, now: float, most: int) -> Depths:
    counted: dict[str, int] = {
        row[0]: row[1] for row in connection.execute(union_all(*(_count(one, most) for one in statuses)))
    }
    oldest = connection.execute(select(events.c.due_at).where(WAITING).order_by(events.c.due_at).limit(1)).scalar()
    return Depths(
        rows={status: counted[status] for status in statuses},
        oldest_due=None if oldest is None or oldest > now else oldest,
    )


def _count(status: Status, most: int) -> Any:
    part = next(part for those, part in PARTS.items() if status in those)
    found = select(events.c.event_id).where(part, events.c.status == status).limit(most).subquery()
    return select(literal(status), func.count()).select_from(found)
