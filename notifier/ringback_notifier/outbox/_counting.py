"""How many rows there are, without counting further than matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import get_args

from sqlalchemy import ColumnElement, Connection

from ringback_notifier.outbox._filter import EventFilter
from ringback_notifier.outbox._rows import Status
from ringback_notifier.outbox._search import counted, furthest, reach, span_of
from ringback_notifier.outbox._shown import Count
from ringback_notifier.outbox._ways import by_statuses, ways_of

__all__ = ["MOST", "count"]

MOST = 10_000
"""Rows of a status that are counted, unless told otherwise."""

_NONE = Count(0, False)

_PARTS = 4
"""That the rows to look at are cut into, if several statuses may each need some for themselves."""


def count(
    connection: Connection, asked: EventFilter, *, cap: int, looks: int, also: Sequence[ColumnElement[bool]] = ()
) -> dict[Status, Count]:
    counts: dict[Status, Count] = dict.fromkeys(get_args(Status), _NONE)
    if asked.leaves_nothing:
        return counts
    statuses = get_args(Status) if asked.statuses is None else asked.statuses
    whatever_status = replace(asked, statuses=None)
    if whatever_status == EventFilter(since=asked.since, until=asked.until) and not also:
        return {**counts, **_of_statuses(connection, asked, statuses, cap)}
    span = span_of(asked, None)
    shared = furthest(connection, ways_of(whatever_status), span, looks=looks)
    here = counted(connection, shared, span, whatever_status, looks=looks, also=also)
    for status in statuses:
        number, edge = here[status], shared.edge
        if edge is not None and number < cap:
            # Of what is rare among all rows, its own way leads further back.
            few = looks // min(_PARTS, len(statuses))
            own = reach(connection, by_statuses([status]), span, looks=few)
            if own.edge is None or own.edge < edge:
                only = replace(asked, statuses=[status])
                number, edge = counted(connection, own, span, only, looks=few, also=also)[status], own.edge
        counts[status] = Count(min(number, cap), edge is not None or number > cap)
    return counts


def _of_statuses(
    connection: Connection, asked: EventFilter, statuses: Iterable[Status], cap: int
) -> dict[Status, Count]:
    """Count entries of an index, and look at no row."""
    counts: dict[Status, Count] = {}
    span = span_of(asked, None)
    for status in statuses:
        own = reach(connection, by_statuses([status]), span, looks=cap)
        whole = own.edge is None
        number = counted(connection, own, span, asked, looks=cap)[status] if whole else cap
        counts[status] = Count(number, not whole)
    return counts
