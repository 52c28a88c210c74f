"""Second chances."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, func, select, update

from ringback_notifier.outbox._conditions import conditions_of
from ringback_notifier.outbox._counting import count
from ringback_notifier.outbox._filter import EventFilter, can_be_stored
from ringback_notifier.outbox._locking import by_id
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._rows import Status
from ringback_notifier.outbox._schema import events
from ringback_notifier.outbox._search import found, furthest, span_of
from ringback_notifier.outbox._shown import Count, Cursor
from ringback_notifier.outbox._wake import wake
from ringback_notifier.outbox._ways import ways_of

__all__ = ["count_redeliverable", "count_these", "make_due", "redeliverable"]

_BY_DEFAULT: tuple[Status, ...] = ("dead", "gone", "refused")
_POSSIBLE: tuple[Status, ...] = (*_BY_DEFAULT, "delivered", "due")

# A malformed request left nothing to send.
_SENDABLE: tuple[ColumnElement[bool], ...] = (events.c.url != "", events.c.body.is_not(None))


def redeliverable(
    connection: Connection, asked: EventFilter, *, after: Cursor | None, limit: int, looks: int
) -> tuple[list[str], Cursor | None]:
    """Return what to make due in one step, and where the next begins."""
    asked = _checked(asked, named=False)
    if asked.leaves_nothing:
        return [], None
    span = span_of(asked, after)
    reached = furthest(connection, ways_of(asked), span, looks=looks)
    places = found(connection, reached.way, reached.within(span), asked, limit=limit, also=_SENDABLE)
    return [place.event_id for place in places], places[-1] if len(places) == limit else reached.edge


def count_redeliverable(connection: Connection, asked: EventFilter, *, cap: int, looks: int) -> Count:
    counts = count(connection, _checked(asked, named=False), cap=cap, looks=looks, also=_SENDABLE).values()
    number = sum(count.number for count in counts)
    return Count(min(number, cap), number > cap or any(count.or_more for count in counts))


def _checked(asked: EventFilter, *, named: bool) -> EventFilter:
    """Say the statuses, and see to it that nobody rings everybody again by mistake."""
    chosen = named or asked.since is not None
    possible = _POSSIBLE if chosen else tuple(status for status in _POSSIBLE if status != "delivered")
    statuses = asked.statuses
    if statuses is None:
        statuses = (*_BY_DEFAULT, "delivered") if named else _BY_DEFAULT
    if wrong := sorted(set(statuses) - set(possible)):
        raise ValueError(f"redeliver: status {', '.join(wrong)} is not one of {', '.join(possible)}")
    return replace(asked, statuses=statuses)


def count_these(connection: Connection, asked: EventFilter, event_ids: Collection[str]) -> Count:
    asked = _checked(asked, named=True)
    if asked.leaves_nothing:
        return Count(0, False)
    conditions = _conditions(connection, asked)
    number = 0
    for chunk in _named(event_ids):
        these = select(func.count()).where(*conditions, among(connection, events.c.event_id, chunk))
        number += connection.execute(these).scalar_one()
    return Count(number, False)


def _conditions(connection: Connection, asked: EventFilter) -> list[ColumnElement[bool]]:
    conditions = [*conditions_of(connection, asked, known=None), *_SENDABLE]
    if asked.since is not None:
        conditions.append(events.c.created_at >= asked.since)
    if asked.until is not None:
        conditions.append(events.c.created_at < asked.until)
    return conditions


def _named(event_ids: Collection[str]) -> Iterator[list[str]]:
    return chunks(sorted(event_id for event_id in set(event_ids) if can_be_stored(event_id)))


def make_due(connection: Connection, asked: EventFilter, event_ids: Collection[str], *, named: bool, now: float) -> int:
    """Make those due that a filter leaves of these, whatever was found before, and return how many.

    :param named: whether somebody named them.
    """
    asked = _checked(asked, named=named)
    if asked.leaves_nothing:
        return 0
    conditions = _conditions(connection, asked)
    again = 0
    for chunk in _named(event_ids):
        these = by_id(connection, *conditions, among(connection, events.c.event_id, chunk))
        made = connection.execute(
            update(events)
            .where(events.c.event_id.in_(these))
            .values(status="due", due_at=now, schedule_from=now, leased_by=None, attempts=0, settled_at=None)
            .returning(events.c.event_id)
        )
        again += len(made.all())  # Python's sqlite3 counts no rows of a statement that begins with WITH
    if again:
        wake(connection)
    return again
