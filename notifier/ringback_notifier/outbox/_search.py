"""Looking through rows, the newest first, at no more than a certain number of them.

A database's planner guesses which index is best, and is wrong by a factor of a thousand where a filter hits little of
what it takes for much.  So nothing is left to it: a way's range is said as one comparison of rows, in the very order
of one index, and everything else is within a CASE, which no index serves and whose outcome no statistics foretell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Select,
    Text,
    and_,
    case,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from ringback_notifier.outbox._conditions import conditions_of
from ringback_notifier.outbox._filter import EventFilter
from ringback_notifier.outbox._locking import Condition
from ringback_notifier.outbox._rows import Status
from ringback_notifier.outbox._schema import ID, events
from ringback_notifier.outbox._shown import Cursor
from ringback_notifier.outbox._ways import Stream, Way

__all__ = ["Reach", "Span", "counted", "found", "furthest", "reach", "span_of"]

Conditions = Sequence[ColumnElement[bool]]


class Span(NamedTuple):
    """Rows from ``lower`` on, and before ``upper``, in the order of creation."""

    lower: Cursor
    upper: Cursor


class Reach(NamedTuple):
    """How far a way leads back: through all of the span if ``edge`` is ``None``, or to that row, which is included."""

    way: Way
    edge: Cursor | None

    def within(self, span: Span) -> Span:
        """Return the part of a span that is looked at."""
        return span if self.edge is None else Span(self.edge, span.upper)


def span_of(asked: EventFilter, after: Cursor | None) -> Span:
    """Return the span that a filter and the place where a page begins leave."""
    lower = Cursor(-inf if asked.since is None else asked.since, "")
    upper = Cursor(inf if asked.until is None else asked.until, "")
    return Span(lower, upper if after is None else min(upper, after))


def furthest(connection: Connection, ways: Sequence[Way], span: Span, *, looks: int) -> Reach:
    """Return the way that leads furthest back with so many rows looked at."""
    best: Reach | None = None
    for way in ways:
        this = reach(connection, way, span, looks=looks)
        if this.edge is None:
            return this
        if best is None or best.edge is None or this.edge < best.edge:
            best = this
    if best is None:
        raise ValueError("there is no way")
    return best


def reach(connection: Connection, way: Way, span: Span, *, looks: int) -> Reach:
    """Return how far a way leads back; of an index alone, it looks at so many entries."""
    each = max(1, looks // way.ranges)
    edges = [edge for stream in way.streams if (edge := _edge(connection, stream, span, each)) is not None]
    return Reach(way, max(edges, default=None))


def found(
    connection: Connection, way: Way, span: Span, asked: EventFilter, *, limit: int, also: Conditions = ()
) -> list[Cursor]:
    """Return the newest rows within a span that a filter leaves."""
    conditions = [*conditions_of(connection, asked, known=way.known), *also]
    rows: list[Cursor] = []
    for stream in way.streams:
        rows += _newest(connection, stream, span, conditions, limit)
    # A row that is settled between two statements is in both.
    return sorted(set(rows), reverse=True)[:limit]


def counted(
    connection: Connection, reached: Reach, span: Span, asked: EventFilter, *, looks: int, also: Conditions = ()
) -> Counter[Status]:
    """Return how many rows a filter leaves of those that a way leads to with so many rows looked at, by status."""
    way, span = reached.way, reached.within(span)
    conditions = [*conditions_of(connection, asked, known=way.known), *also]
    counts: Counter[Status] = Counter()
    for stream in way.streams:
        # The limit is never reached, but tells PostgreSQL that it need not prepare for all rows of the table.
        rows = _all_of(connection, stream, span, conditions, [events.c.status], looks).subquery()
        for status, number in connection.execute(select(rows.c.status, func.count()).group_by(rows.c.status)):
            counts[status] += number
    return counts


def _edge(connection: Connection, stream: Stream, span: Span, each: int) -> Cursor | None:
    """Return the newest of the rows that each range's part ends with."""
    last: Select[Any]
    if len(stream.keys) < 2:
        last = _range(stream, _only(stream.keys), span).offset(each - 1).limit(1)
    elif connection.dialect.name == "sqlite":
        keys = _table_of(connection, stream.keys)
        end = _range(stream, keys.c.key, span, [events.c.event_id]).offset(each - 1).limit(1).scalar_subquery()
        ends = select(end.label("event_id")).select_from(keys).subquery()
        last = (
            select(events.c.created_at, events.c.event_id)
            .join(ends, ends.c.event_id == events.c.event_id)
            .order_by(events.c.created_at.desc(), events.c.event_id.desc())
            .limit(1)
        )
    else:
        keys = _table_of(connection, stream.keys)
        last = _newest_of(keys, _range(stream, keys.c.key, span).offset(each - 1).limit(1).lateral(), 1)
    row = connection.execute(last).one_or_none()
    return None if row is None else Cursor(*row)


def _newest(connection: Connection, stream: Stream, span: Span, conditions: Conditions, limit: int) -> list[Cursor]:
    rows: Select[Any]
    if len(stream.keys) < 2:
        rows = _range(stream, _only(stream.keys), span).where(*_opaque(conditions)).limit(limit)
    elif connection.dialect.name == "sqlite":
        rows = (
            _all_of(connection, stream, span, conditions, [events.c.created_at, events.c.event_id], None)
            .order_by(events.c.created_at.desc(), events.c.event_id.desc())
            .limit(limit)
        )
    else:
        keys = _table_of(connection, stream.keys)
        each = _range(stream, keys.c.key, span).where(*_opaque(conditions)).limit(limit).lateral()
        rows = _newest_of(keys, each, limit)
    return [Cursor(*row) for row in connection.execute(rows)]


def _all_of(
    connection: Connection,
    stream: Stream,
    span: Span,
    conditions: Conditions,
    columns: Sequence[ColumnElement[Any]],
    most: int | None,
) -> Select[Any]:
    """Select all rows, in no order."""
    if len(stream.keys) < 2:
        return _range(stream, _only(stream.keys), span, columns).where(*_opaque(conditions)).limit(most)
    keys = _table_of(connection, stream.keys)
    if connection.dialect.name == "sqlite":  # which knows no LATERAL, but takes what comes first for the outer loop
        return (
            select(*columns)
            .select_from(keys.join(events, true()))
            .where(*_within(stream, keys.c.key, span), *_opaque(conditions))
        )
    each = _range(stream, keys.c.key, span, columns).where(*_opaque(conditions)).limit(most).lateral()
    return select(*each.c).select_from(keys.join(each, true()))


def _only(keys: Sequence[str]) -> ColumnElement[str] | None:
    return literal(keys[0], Text) if keys else None


def _range(
    stream: Stream,
    key: ColumnElement[str] | None,
    span: Span,
    columns: Sequence[ColumnElement[Any]] = (events.c.created_at, events.c.event_id),
) -> Select[Any]:
    """Select one range of an index, the newest first."""
    order = [events.c.created_at.desc(), events.c.event_id.desc()]
    if stream.column is not None:
        order.insert(0, stream.column.desc())
    return select(*columns).where(*_within(stream, key, span)).order_by(*order)


def _within(stream: Stream, key: ColumnElement[str] | None, span: Span) -> list[Condition]:
    row: list[ColumnElement[Any]] = [events.c.created_at, events.c.event_id]
    lower, upper = (_values(end) for end in span)
    if (stream.column is None) != (key is None):
        raise ValueError("a range of an index needs the key that it begins with")
    if stream.column is not None and key is not None:
        row, lower, upper = [stream.column, *row], [key, *lower], [key, *upper]
    conditions: list[Condition] = [tuple_(*row) < tuple_(*upper), tuple_(*row) >= tuple_(*lower)]
    return conditions if stream.part is None else [stream.part, *conditions]


def _values(place: Cursor) -> list[ColumnElement[Any]]:
    return [literal(place.created_at, Double), literal(place.event_id, ID)]


def _opaque(conditions: Conditions) -> list[ColumnElement[bool]]:
    return [case((and_(*conditions), true()), else_=false())] if conditions else []


def _table_of(connection: Connection, keys: Sequence[str]) -> FromClause:
    if connection.dialect.name == "sqlite":
        given = func.json_each(json.dumps(keys)).table_valued("value").alias("given")
        return select(given.c.value.label("key")).subquery("keys")
    return func.unnest(literal(keys, ARRAY(Text))).table_valued("key").render_derived("keys")


def _newest_of(keys: FromClause, each: FromClause, limit: int) -> Select[Any]:
    return (
        select(each.c.created_at, each.c.event_id)
        .select_from(keys.join(each, true()))
        .order_by(each.c.created_at.desc(), each.c.event_id.desc())
        .limit(limit)
    )
