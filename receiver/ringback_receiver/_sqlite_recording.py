"""How the SQLite store records a batch of events, inside its one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ringback_receiver import _sqlite_queries as sql
from ringback_receiver._matching import REACHES_HANDLERS
from ringback_receiver._recording import Arrival, Known, Look, Step, record_all
from ringback_receiver._rows import tracked_of
from ringback_receiver._sqlite_operations import texts
from ringback_receiver._store import Recorded

__all__ = ["record"]


def record(connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> list[Recorded]:
    """Find the candidates, decide, write; nobody else writes meanwhile."""
    recording = record_all(arrivals, exclusive=True)
    answer: Sequence[Known] | frozenset[str] | None = None
    while True:
        try:
            asked = next(recording) if answer is None else recording.send(answer)
        except StopIteration as end:
            return list(end.value)
        answer = _look(connection, asked.arrivals) if isinstance(asked, Look) else _write(connection, asked.steps)


def _look(connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> list[Known]:
    event_ids = texts([arrival.event.id for arrival in arrivals])
    seen = {event_id for (event_id,) in connection.execute(sql.EVENTS_SEEN, {"ids": event_ids})}
    meant = [_request_id(connection, arrival) for arrival in arrivals]
    # One that cannot be read fails with what it fails with, which tells the batch that it is one event's fault.
    rows = connection.execute(sql.REQUESTS_BY_ID, {"ids": texts([name for name in meant if name is not None])})
    tracked = {each.request.request_id: each for each in map(tracked_of, rows)}
    return [
        Known(seen=arrival.event.id in seen, tracked=tracked.get(request_id) if request_id else None)
        for arrival, request_id in zip(arrivals, meant, strict=True)
    ]


def _request_id(connection: sqlite3.Connection, arrival: Arrival) -> str | None:
    event = arrival.event
    if event.correlationid is not None:
        return event.correlationid
    run = {"dag_id": event.data.dag_id, "run_id": event.data.run_id}
    row = connection.execute(sql.REQUEST_BY_RUN, run).fetchone()
    return None if row is None else str(row[0])


def _write(connection: sqlite3.Connection, steps: Sequence[Step]) -> frozenset[str]:
    connection.executemany(sql.INSERT_EVENT, map(_event_row, steps))
    connection.executemany(
        sql.CHANGE_REQUEST,
        [
            {"request_id": request.request_id, "state": request.state, "event_id": request.event_id}
            for step in steps
            if (request := step.request) is not None and request != step.found
        ],
    )
    connection.executemany(
        sql.INSERT_CALL,
        [
            {"event_id": step.arrival.event.id, "handler": handler, "due": step.arrival.received_at}
            for step in steps
            if step.recorded.transition in REACHES_HANDLERS
            for handler in step.arrival.handlers
        ],
    )
    return frozenset(step.arrival.event.id for step in steps)


def _event_row(step: Step) -> dict[str, object]:
    event = step.arrival.event
    return {
        "event_id": event.id,
        "request_id": step.request.request_id if step.request else None,
        "correlation_id": event.correlationid,
        "dag_id": event.data.dag_id,
        "run_id": event.data.run_id,
        "transition": step.recorded.transition.value,
        "received_at": step.arrival.received_at,
        "body": step.arrival.body,
    }
