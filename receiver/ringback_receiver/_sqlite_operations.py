"""What the SQLite store does inside a transaction: plain functions of a connection."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ringback_receiver import _sqlite_queries as sql
from ringback_receiver._handlers import backoff, describe
from ringback_receiver._matching import REACHES_HANDLERS, PendingRequest, RequestState
from ringback_receiver._parked import take_parked
from ringback_receiver._rows import all_tracked, by_id, completion_of
from ringback_receiver._store import FailingCall, HandlerCall, Registered, Tracked

__all__ = [
    "claim_calls",
    "failing_calls",
    "finish_call",
    "leave_pending",
    "look_up",
    "register",
    "renew_calls",
    "retry_call",
    "settled",
    "texts",
]

log = logging.getLogger("ringback_receiver")


def register(
    connection: sqlite3.Connection, request: PendingRequest, handlers: Sequence[str], adopt: bool
) -> Registered:
    """Adopt an earlier request, or insert this one and let the events that came too early make their transitions."""
    row = {
        "request_id": request.request_id,
        "dag_id": request.dag_id,
        "run_id": request.run_id,
        "callback_url": request.callback_url,
        "created_at": request.created_at,
        "metadata": msgspec.json.encode(request.metadata).decode(),
        "deadline": request.deadline,
        "next_check": request.next_check,
    }
    if adopt and (earlier := connection.execute(sql.ADOPTABLE_REQUEST, row).fetchone()) is not None:
        return _adopt(connection, *earlier)
    connection.execute(sql.INSERT_REQUEST, row)
    about = {"request_id": request.request_id, "dag_id": request.dag_id, "run_id": request.run_id}
    bodies = [body for _, _, body in connection.execute(sql.PARKED_EVENTS, about)]
    request, taken = take_parked(request, bodies)
    for event in taken:
        matched = {"event_id": event.event_id, "request_id": request.request_id, "transition": event.transition.value}
        connection.execute(sql.MATCH_PARKED_EVENT, matched)
        if event.transition in REACHES_HANDLERS:
            turns = [{**matched, "handler": handler, "due": request.created_at} for handler in handlers]
            connection.executemany(sql.INSERT_CALL, turns)
    if taken:
        after = {"request_id": request.request_id, "state": request.state, "event_id": request.event_id}
        connection.execute(sql.CHANGE_REQUEST, after)
    return Registered(request=request)


def look_up(connection: sqlite3.Connection, request_ids: Sequence[str]) -> dict[str, Tracked]:
    """Read requests with their completions."""
    rows = connection.execute(sql.REQUESTS_BY_ID, {"ids": texts(request_ids)})
    return by_id(rows)


def settled(connection: sqlite3.Connection, request_ids: Sequence[str]) -> dict[str, Tracked]:
    """Read those that are no longer pending."""
    rows = connection.execute(sql.SETTLED_BY_ID, {"ids": texts(request_ids)})
    return {tracked.request.request_id: tracked for tracked in all_tracked(rows)}


def leave_pending(
    connection: sqlite3.Connection,
    request_id: str,
    state: RequestState,
    *,
    reason: str | None = None,
    triggers: int | None = None,
) -> Tracked | None:
    """Cancel or abandon."""
    connection.execute(
        sql.LEAVE_PENDING,
        {"request_id": request_id, "state": state, "reason": reason, "triggers": triggers},
    )
    return look_up(connection, [request_id]).get(request_id)


def claim_calls(
    connection: sqlite3.Connection, handlers: Sequence[str], now: float, lease_until: float, limit: int
) -> list[HandlerCall]:
    """Lease what is due; what cannot be read is put off, so that it does not hold up the others."""
    due = {"handlers": texts(handlers), "now": now, "limit": limit}
    calls = []
    for event_id, handler, attempts, body, transition, request_id, metadata in connection.execute(
        sql.DUE_CALLS, due
    ).fetchall():
        key = {"event_id": event_id, "handler": handler, "attempts": attempts}
        connection.execute(sql.CLAIM_CALL, {**key, "lease_until": lease_until})
        try:
            completion = completion_of(body, transition, request_id, metadata)
        except Exception as error:  # a newer release may be able to read it
            put_off = now + backoff(attempts, 0.0)
            connection.execute(sql.RETRY_CALL, {**key, "due": put_off, "error": describe(error)})
            log.error("event %s cannot be read for handler %s: %s", event_id, handler, describe(error))
        else:
            calls.append(HandlerCall(handler=handler, completion=completion, attempts=attempts))
    return calls


def renew_calls(connection: sqlite3.Connection, calls: Sequence[HandlerCall], lease_until: float) -> None:
    """Prolong leases."""
    connection.executemany(sql.RENEW_CALL, [{**_key(call), "lease_until": lease_until} for call in calls])


def finish_call(connection: sqlite3.Connection, call: HandlerCall, at: float) -> None:
    """Mark it done."""
    connection.execute(sql.FINISH_CALL, {**_key(call), "at": at})


def retry_call(connection: sqlite3.Connection, call: HandlerCall, due: float, error: str) -> None:
    """Put it back."""
    connection.execute(sql.RETRY_CALL, {**_key(call), "due": due, "error": error})


def failing_calls(connection: sqlite3.Connection, limit: int) -> list[FailingCall]:
    """Read what fails."""
    names = FailingCall.__struct_fields__
    rows = connection.execute(sql.FAILING_CALLS, {"limit": limit})
    return [FailingCall(**dict(zip(names, row, strict=True))) for row in rows]


def _adopt(connection: sqlite3.Connection, request_id: str) -> Registered:
    """Ask for a run again on behalf of the request that asked for it first."""
    found = look_up(connection, [request_id])[request_id].request.state
    connection.execute(sql.COUNT_TRIGGER, {"request_id": request_id})
    connection.execute(sql.REVIVE_REQUEST, {"request_id": request_id})
    return Registered(request=look_up(connection, [request_id])[request_id].request, found=found)


def _key(call: HandlerCall) -> dict[str, Any]:
    return {"event_id": call.completion.event_id, "handler": call.handler, "attempts": call.attempts}


def texts(values: Sequence[str]) -> str:
    """Return texts as the JSON array that a query takes for a list."""
    return msgspec.json.encode(list(values)).decode()
