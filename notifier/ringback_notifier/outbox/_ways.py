"""Ways to go through the rows, the newest first: what an index has in that order, and what a filter leaves of it.

No one knows beforehand which index has the fewest rows to look at, neither we nor the database's planner.  So each way
that a filter allows is listed here, and :mod:`~ringback_notifier.outbox._search` tries how far back each leads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Column, TextClause

from ringback_notifier.outbox._event_row import SETTLED_STATUSES
from ringback_notifier.outbox._filter import EventFilter, can_be_stored
from ringback_notifier.outbox._rows import Status
from ringback_notifier.outbox._schema import HAS_DESTINATION, OPEN, SETTLED, events

__all__ = ["BY_AGE", "Known", "Stream", "Way", "by_statuses", "ways_of"]

Known = Literal["dag_id", "run_id", "destination", "status"]
"""What is the same in all rows of a way, or one of the values asked for, and need not be looked at again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Some ranges of one index.

    :param column: its first; ``None`` if it has nothing but the age.
    :param keys: that its first column has.
    :param part: which the index is of.
    """

    column: Column[str] | None = None
    keys: tuple[str, ...] = ()
    part: TextClause | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """Streams that together have every row that a filter leaves."""

    streams: tuple[Stream, ...]
    known: Known | None = None

    @property
    def ranges(self) -> int:
        """How many ranges of indexes there are."""
        return sum(len(stream.keys) or 1 for stream in self.streams)


BY_AGE = Way(streams=(Stream(),))


def ways_of(asked: EventFilter) -> list[Way]:
    """Return the ways that a filter allows, those first that are likely to be short."""
    ways = []
    if asked.run_id is not None:
        ways.append(_by_one("run_id", asked.run_id))
    if asked.dag_id is not None:
        ways.append(_by_one("dag_id", asked.dag_id))
    elif asked.dag_ids is not None:
        ways.append(_by("dag_id", asked.dag_ids))
    if asked.statuses is not None and set(asked.statuses) != set(get_args(Status)):
        ways.append(by_statuses(asked.statuses))
    if asked.destination is not None:
        ways.append(_by_one("destination", asked.destination, HAS_DESTINATION))
    if all(way.ranges > 1 for way in ways):
        ways.append(BY_AGE)
    return ways


def by_statuses(statuses: Collection[Status]) -> Way:
    """Return the way through the rows with one of these statuses."""
    over = tuple(sorted(SETTLED_STATUSES.intersection(statuses)))
    still = tuple(sorted(set(statuses) - SETTLED_STATUSES))
    streams = [
        Stream(column=events.c.status, keys=keys, part=part) for keys, part in ((still, OPEN), (over, SETTLED)) if keys
    ]
    return Way(streams=tuple(streams), known="status")


def _by_one(known: Known, key: str, part: TextClause | None = None) -> Way:
    return _by(known, (key,), part)


def _by(known: Known, keys: Collection[str], part: TextClause | None = None) -> Way:
    return Way(
        streams=(Stream(column=events.c[known], keys=tuple(sorted(filter(can_be_stored, set(keys)))), part=part),),
        known=known,
    )
