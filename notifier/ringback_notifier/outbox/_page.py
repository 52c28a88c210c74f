"""One page of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, select

from ringback_notifier.outbox._filter import EventFilter, can_be_stored
from ringback_notifier.outbox._many import among, chunks
from ringback_notifier.outbox._schema import events
from ringback_notifier.outbox._search import found, furthest, span_of
from ringback_notifier.outbox._shown import Cursor, EventRow, EventSummary, Page
from ringback_notifier.outbox._ways import ways_of

__all__ = ["COUNTING", "LOOKS", "event", "page"]

LOOKS = 10_000
"""Rows that one request for a page looks at."""

COUNTING = 6_000
"""Rows that one request for numbers looks at, in the first place."""

_SUMMARY = tuple(field.name for field in fields(EventSummary))


def page(connection: Connection, asked: EventFilter, *, after: Cursor | None, limit: int, looks: int) -> Page:
    if asked.leaves_nothing:
        return Page(rows=[], next=None, searched_to=None)
    span = span_of(asked, after)
    reached = furthest(connection, ways_of(asked), span, looks=looks)
    places = found(connection, reached.way, reached.within(span), asked, limit=limit + 1)
    if len(places) > limit:
        return Page(rows=_rows(connection, places[:limit]), next=places[limit - 1], searched_to=None)
    searched_to = None if reached.edge is None else reached.edge.created_at
    return Page(rows=_rows(connection, places), next=reached.edge, searched_to=searched_to)


def event(connection: Connection, event_id: str) -> EventRow | None:
    if not can_be_stored(event_id):
        return None
    row = connection.execute(select(events).where(events.c.event_id == event_id)).one_or_none()
    return None if row is None else EventRow(**row._mapping)


def _rows(connection: Connection, places: Sequence[Cursor]) -> list[EventSummary]:
    """Read rows, in this order, without those that have gone since."""
    present: dict[str, EventSummary] = {}
    for chunk in chunks(place.event_id for place in places):
        rows = select(*(events.c[name] for name in _SUMMARY)).where(among(connection, events.c.event_id, chunk))
        present.update((row.event_id, EventSummary(**row._mapping)) for row in connection.execute(rows))
    return [present[place.event_id] for place in places if place.event_id in present]
