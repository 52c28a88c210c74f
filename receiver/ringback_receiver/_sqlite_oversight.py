"""What the SQLite store does inside a transaction about time and trouble: deadlines, checks, leases, failed turns."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ringback_receiver import _sqlite_queries as sql
from ringback_receiver._matching import PendingRequest, RequestState, Transition
from ringback_receiver._observer import Backlog
from ringback_receiver._rows import all_tracked, tracked_of
from ringback_receiver._sqlite_operations import look_up
from ringback_receiver._store import CallNote, Checked, EventNote, HandlerCall, History

__all__ = [
    "backlog",
    "confirm",
    "due_checks",
    "expire",
    "give_up_call",
    "history",
    "hold_lease",
    "list_requests",
    "note_checks",
    "overdue",
    "release_lease",
    "retry_failed",
]


def backlog(connection: sqlite3.Connection, now: float, most: int) -> Backlog:
    """Count what is not over."""
    (row,) = connection.execute(sql.BACKLOG, {"now": now, "most": most})
    return Backlog(**dict(zip(Backlog.__struct_fields__, row, strict=True)))


def overdue(connection: sqlite3.Connection, now: float, limit: int) -> list[str]:
    """Read what has expired, and is not marked so."""
    return [request_id for (request_id,) in connection.execute(sql.OVERDUE_REQUESTS, {"now": now, "limit": limit})]


def expire(connection: sqlite3.Connection, now: float, limit: int) -> list[str]:
    """Mark it."""
    ids = overdue(connection, now, limit)
    connection.executemany(sql.EXPIRE_REQUEST, [{"request_id": request_id} for request_id in ids])
    return ids


def confirm(connection: sqlite3.Connection, request_id: str) -> None:
    """Note that the run exists."""
    connection.execute(sql.CONFIRM_REQUEST, {"request_id": request_id})


def due_checks(connection: sqlite3.Connection, callback_url: str, now: float, limit: int) -> list[PendingRequest]:
    """Read whom to ask about."""
    about = {"callback_url": callback_url, "now": now, "limit": limit}
    return [tracked_of(row).request for row in connection.execute(sql.DUE_CHECKS, about)]


def note_checks(connection: sqlite3.Connection, checks: Sequence[Checked]) -> None:
    """Count them, and set the next ones."""
    connection.executemany(
        sql.NOTE_CHECK,
        [{"request_id": each.request_id, "next_check": each.next_check, "exists": each.exists} for each in checks],
    )


def hold_lease(connection: sqlite3.Connection, name: str, holder: str, now: float, until: float) -> bool:
    """Take it, or prolong it."""
    lease = {"name": name, "holder": holder, "now": now, "until": until}
    return connection.execute(sql.HOLD_LEASE, lease).rowcount == 1


def release_lease(connection: sqlite3.Connection, name: str, holder: str) -> None:
    """Let go of it."""
    connection.execute(sql.RELEASE_LEASE, {"name": name, "holder": holder})


def give_up_call(connection: sqlite3.Connection, call: HandlerCall, at: float, error: str) -> None:
    """Put it aside."""
    turn = {"event_id": call.completion.event_id, "handler": call.handler, "attempts": call.attempts}
    connection.execute(sql.GIVE_UP_CALL, {**turn, "at": at, "error": error})


def retry_failed(
    connection: sqlite3.Connection, now: float, request_id: str | None, handler: str | None, event_id: str | None
) -> int:
    """Put failed turns back into the queue."""
    which = {"now": now, "request_id": request_id, "handler": handler, "event_id": event_id}
    return connection.execute(sql.RETRY_FAILED, which).rowcount


def list_requests(connection: sqlite3.Connection, state: RequestState, limit: int) -> list[PendingRequest]:
    """Read requests in a state."""
    query = sql.PENDING_REQUESTS if state == "pending" else sql.SETTLED_REQUESTS
    return [each.request for each in all_tracked(connection.execute(query, {"state": state, "limit": limit}))]


def history(connection: sqlite3.Connection, request_id: str) -> History | None:
    """Read a request, its events and their turns."""
    tracked = look_up(connection, [request_id]).get(request_id)
    if tracked is None:
        return None
    about = {"request_id": request_id}
    events = [
        EventNote(event_id=event_id, transition=Transition(transition), received_at=received_at)
        for event_id, transition, received_at in connection.execute(sql.EVENTS_OF, about)
    ]
    names = CallNote.__struct_fields__
    calls = [CallNote(**dict(zip(names, row, strict=True))) for row in connection.execute(sql.CALLS_OF, about)]
    return History(request=tracked.request, events=tuple(events), calls=tuple(calls))
