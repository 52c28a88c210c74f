"""What the outbox shows to people.  Times are Unix seconds, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ringback_notifier.outbox._rows import Status
from ringback_protocol.event import RunState

__all__ = ["Count", "Cursor", "EventRow", "EventSummary", "Page", "Redelivered"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSummary:
    """A row of the outbox without its body, which may be long.

    :param reported_by: who built the body; of a hint, who saw the run end.
    :param due_at: of a leased row, when the lease ends.
    """

    event_id: str
    dag_id: str
    run_id: str
    state: RunState | None
    destination: str | None
    url: str | None
    host: str | None
    status: Status
    reported_by: str
    created_at: float
    schedule_from: float
    ended_at: float | None
    due_at: float
    leased_by: str | None
    attempts: int
    looks: int
    settled_at: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow(EventSummary):
    """A whole row of the outbox."""

    body: bytes | None


class Cursor(NamedTuple):
    """A place in the order of all rows, the newest first: between this row and those before it."""

    created_at: float
    event_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows, the newest first.

    :param next: where the next page begins; ``None`` if there is no more.
    :param searched_to: if the search ended before the page was full, and before everything was looked at: when the
        oldest row was created that it looked at.
    """

    rows: list[EventSummary]
    next: Cursor | None
    searched_to: float | None


class Count(NamedTuple):
    """How many rows there are, or how many at least.

    :param or_more: counting ended early, at its cap or with what one request may look at.
    """

    number: int
    or_more: bool


class Redelivered(NamedTuple):
    """How many events one step made due, and where the next step begins; ``None``: there is no more."""

    number: int
    next: Cursor | None
