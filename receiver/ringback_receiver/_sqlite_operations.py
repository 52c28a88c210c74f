"""What the SQLite store does inside a transaction: plain functions of a connection."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ringback_protocol import CompletionEvent, decode_event
from ringback_receiver import _sqlite_queries as sql
from ringback_receiver._completion import Completion
from ringback_receiver._handlers import backoff, describe
from ringback_receiver._matching import REACHES_HANDLERS, PendingRequest, RequestState, Transition, as_of, match
from ringback_receiver._store import FailingCall, HandlerCall, Recorded, Registered, Tracked

__all__ = [
    "claim_calls",
    "failing_calls",
    "finish_call",
    "leave_pending",
    "look_up",
    "record",
    "register",
    "renew_calls",
    "retry_call",
    "tracked_of",
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
    for _, event_id, body in connection.execute(sql.PARKED_EVENTS, about).fetchall():
        event = decode_event(body)
        transition = match(request, event, seen=False)
        connection.execute(
            sql.MATCH_PARKED_EVENT,
            {"transition": transition.value, "request_id": request.request_id, "event_id": event_id},
        )
        request = _make(connection, transition, request, event, request.created_at, handlers)
    return Registered(request=request)


def record(
    connection: sqlite3.Connection,
    event: CompletionEvent,
    body: bytes,
    received_at: float,
    handlers: Sequence[str],
) -> Recorded:
    """Find the candidate, decide, write."""
    seen = connection.execute(sql.EVENT_SEEN, {"event_id": event.id}).fetchone() is not None
    tracked = _as_of(connection, _candidate(connection, event), received_at)
    transition = match(tracked.request if tracked else None, event, seen=seen)
    if not seen:
        connection.execute(
            sql.INSERT_EVENT,
            {
                "event_id": event.id,
                "request_id": tracked.request.request_id if tracked else None,
                "correlation_id": event.correlationid,
                "dag_id": event.data.dag_id,
                "run_id": event.data.run_id,
                "transition": transition.value,
                "received_at": received_at,
                "body": body,
            },
        )
    if tracked is not None:
        request = _make(connection, transition, tracked.request, event, received_at, handlers)
        completion = tracked.completion
        if transition is Transition.RESOLVE:
            completion = _completion(event, request.request_id, request.metadata)
        tracked = Tracked(request=request, completion=completion)
    return Recorded(transition=transition, tracked=tracked)


def look_up(connection: sqlite3.Connection, request_ids: Sequence[str]) -> dict[str, Tracked]:
    """Read requests with their completions."""
    rows = connection.execute(sql.REQUESTS_BY_ID, {"ids": _json(request_ids)})
    return {tracked.request.request_id: tracked for tracked in map(tracked_of, rows)}


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
    due = {"handlers": _json(handlers), "now": now, "limit": limit}
    calls = []
    for event_id, handler, attempts, body, transition, request_id, metadata in connection.execute(
        sql.DUE_CALLS, due
    ).fetchall():
        key = {"event_id": event_id, "handler": handler, "attempts": attempts}
        connection.execute(sql.CLAIM_CALL, {**key, "lease_until": lease_until})
        try:
            completion = _completion(
                decode_event(body),
                request_id,
                msgspec.json.decode(metadata),
                Transition(transition),
            )
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


def _candidate(connection: sqlite3.Connection, event: CompletionEvent) -> Tracked | None:
    request_id = event.correlationid
    if request_id is None:
        run = {"dag_id": event.data.dag_id, "run_id": event.data.run_id}
        row = connection.execute(sql.REQUEST_BY_RUN, run).fetchone()
        if row is None:
            return None
        (request_id,) = row
    return look_up(connection, [request_id]).get(request_id)


def _as_of(connection: sqlite3.Connection, tracked: Tracked | None, now: float) -> Tracked | None:
    """Let a request expire, if nobody has noticed yet that its deadline has passed."""
    if tracked is None or (request := as_of(tracked.request, now)) is tracked.request:
        return tracked
    connection.execute(sql.EXPIRE_REQUEST, {"request_id": request.request_id})
    return Tracked(request=request)


def _adopt(connection: sqlite3.Connection, request_id: str) -> Registered:
    """Ask for a run again on behalf of the request that asked for it first."""
    found = look_up(connection, [request_id])[request_id].request.state
    connection.execute(sql.COUNT_TRIGGER, {"request_id": request_id})
    connection.execute(sql.REVIVE_REQUEST, {"request_id": request_id})
    return Registered(request=look_up(connection, [request_id])[request_id].request, found=found)


def _make(
    connection: sqlite3.Connection,
    transition: Transition,
    request: PendingRequest,
    event: CompletionEvent,
    now: float,
    handlers: Sequence[str],
) -> PendingRequest:
    """Write what the transition changes beyond the event's own row; return the request as it is then."""
    if transition is Transition.RESOLVE:
        connection.execute(sql.RESOLVE_REQUEST, {"event_id": event.id, "request_id": request.request_id})
        request = msgspec.structs.replace(request, state="resolved", reason=None, event_id=event.id)
    elif transition is Transition.PROGRESS and request.state == "abandoned":
        connection.execute(sql.REVIVE_REQUEST, {"request_id": request.request_id})
        request = msgspec.structs.replace(request, state="pending", reason=None)
    if transition in REACHES_HANDLERS:
        turns = [{"event_id": event.id, "handler": handler, "due": now} for handler in handlers]
        connection.executemany(sql.INSERT_CALL, turns)
    return request


def tracked_of(row: tuple[Any, ...]) -> Tracked:
    """Read a row of :data:`.REQUESTS_BY_ID`, or of another query with its columns."""
    *columns, body = row
    kept = dict(zip(PendingRequest.__struct_fields__, columns, strict=True))
    kept["metadata"] = msgspec.json.decode(kept["metadata"])
    kept["confirmed"] = bool(kept["confirmed"])
    request = PendingRequest(**kept)
    if body is None:
        return Tracked(request=request)
    completion = _completion(decode_event(body), request.request_id, request.metadata)
    return Tracked(request=request, completion=completion)


def _completion(
    event: CompletionEvent, request_id: str, metadata: Any, transition: Transition = Transition.RESOLVE
) -> Completion:
    return Completion(
        event=event,
        request_id=request_id,
        metadata=metadata,
        revision=transition is Transition.REVISE,
        late=transition is Transition.LATE,
    )


def _key(call: HandlerCall) -> dict[str, Any]:
    return {"event_id": call.completion.event_id, "handler": call.handler, "attempts": call.attempts}


def _json(texts: Sequence[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()
