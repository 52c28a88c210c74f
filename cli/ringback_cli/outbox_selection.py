"""Which events a command is about, as options."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ringback_cli.moments import moment

if TYPE_CHECKING:
    from ringback_notifier.outbox import EventFilter

__all__ = [
    "DagId",
    "Destination",
    "EventStatus",
    "RunId",
    "RunText",
    "Since",
    "Statuses",
    "Until",
    "selection",
]


class EventStatus(str, Enum):
    """What has become of an event."""

    HINT = "hint"
    DUE = "due"
    LEASED = "leased"
    DELIVERED = "delivered"
    DEAD = "dead"
    GONE = "gone"
    REFUSED = "refused"


Statuses: TypeAlias = Annotated[
    list[EventStatus] | None, typer.Option("--status", help="Only with this status; may be repeated.")
]
DagId: TypeAlias = Annotated[str | None, typer.Option("--dag-id", help="Only of this DAG.")]
RunId: TypeAlias = Annotated[str | None, typer.Option("--run-id", help="Only of the run with this id.")]
RunText: TypeAlias = Annotated[str | None, typer.Option("--text", help="Only of runs with this text in their id.")]
Destination: TypeAlias = Annotated[str | None, typer.Option("--destination", help="Only of this destination.")]
Since: TypeAlias = Annotated[
    str | None,
    typer.Option("--since", help="Only since then: a time such as 2026-07-02T00:00Z, or an age: 90m, 2h, 3d."),
]
Until: TypeAlias = Annotated[str | None, typer.Option("--until", help="Only until then: a time, or an age.")]


def selection(
    *,
    statuses: Sequence[EventStatus] | None,
    dag_id: str | None,
    run_id: str | None,
    text: str | None,
    destination: str | None,
    since: str | None,
    until: str | None,
    now: float,
) -> EventFilter:
    """Return what the options mean.

    :raises typer.BadParameter: for times that are none.
    """
    begin, end = moment(since, now=now, option="--since"), moment(until, now=now, option="--until")
    from ringback_notifier.outbox import EventFilter

    return EventFilter(
        statuses=[status.value for status in statuses] if statuses else None,
        dag_id=dag_id,
        run_id=run_id,
        run_id_contains=text,
        destination=destination,
        since=begin,
        until=end,
    )
