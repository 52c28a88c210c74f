"""What the PostgreSQL store does on a connection, besides recording events: plain functions of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ringback_receiver import _postgres_queries as sql
from ringback_receiver._handlers import backoff, describe
from ringback_receiver._matching import REACHES_HANDLERS, PendingRequest, RequestState
from ringback_receiver._parked import take_parked
from ringback_receiver._postgres_connect import Connection
from ringback_receiver._postgres_holds import SPACE, by_correlation, by_run, in_order
from ringback_receiver._postgres_statement import fetch
from ringback_receiver._postgres_text import comparable, readable
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
]

log = logging.getLogger("ringback_receiver")


async def register(connection: Connection, request: PendingRequest, handlers: Sequence[str], adopt: bool) -> Registered:
    """Adopt an earlier request, or insert this one and let the events that came too early make their transitions."""
    about = {"dag_id": request.dag_id, "run_id": request.run_id}
    row = {
        **about,
        "request_id": request.request_id,
        "callback_url": request.callback_url,
        "created_at": request.created_at,
        "metadata": msgspec.json.encode(request.metadata).decode(),
        "deadline": request.deadline,
        "next_check": request.next_check,
    }
    async with connection.transaction():
        keys = in_order([by_correlation(request.request_id), by_run(request.dag_id, request.run_id)])
        await fetch(connection, sql.HOLD, space=SPACE, keys=keys)
        if adopt and (earlier := await fetch(connection, sql.ADOPTABLE_REQUEST, **row)):
            ((request_id, found),) = earlier
            await fetch(connection, sql.ADOPT_REQUEST, request_id=request_id)
            adopted = (await look_up(connection, [request_id]))[request_id].request
            return Registered(request=adopted, found=found)
        await fetch(connection, sql.INSERT_REQUEST, **row)
        parked = await fetch(connection, sql.PARKED_EVENTS, **about, request_id=request.request_id)
        request, taken = take_parked(request, [body for _, _, body in parked])
        if taken:
            await fetch(
                connection,
                sql.MATCH_PARKED_EVENTS,
                request_id=request.request_id,
                event_ids=[event.event_id for event in taken],
                transitions=[event.transition.value for event in taken],
            )
            await fetch(
                connection,
                sql.CHANGE_REQUEST,
                request_id=request.request_id,
                state=request.state,
                event_id=request.event_id,
            )
            await fetch(
                connection,
                sql.INSERT_CALLS,
                event_ids=[event.event_id for event in taken if event.transition in REACHES_HANDLERS],
                handlers=list(handlers),
                due=request.created_at,
            )
        return Registered(request=request)


async def look_up(connection: Connection, request_ids: Sequence[str]) -> dict[str, Tracked]:
    """Read requests with their completions."""
    rows = await fetch(connection, sql.REQUESTS_BY_ID, ids=list(map(comparable, request_ids)))
    return by_id(rows)


async def settled(connection: Connection, request_ids: Sequence[str]) -> dict[str, Tracked]:
    """Read those that are no longer pending."""
    rows = await fetch(connection, sql.SETTLED_BY_ID, ids=list(map(comparable, request_ids)))
    return {tracked.request.request_id: tracked for tracked in all_tracked(rows)}


async def leave_pending(
    connection: Connection,
    request_id: str,
    state: RequestState,
    *,
    reason: str | None = None,
    triggers: int | None = None,
) -> Tracked | None:
    """Cancel or abandon."""
    async with connection.transaction():
        await fetch(
            connection,
            sql.LEAVE_PENDING,
            request_id=comparable(request_id),
            state=state,
            reason=None if reason is None else readable(reason),
            triggers=triggers,
        )
        return (await look_up(connection, [request_id])).get(request_id)


async def claim_calls(
    connection: Connection, handlers: Sequence[str], now: float, lease_until: float, limit: int
) -> list[HandlerCall]:
    """Lease what is due; what cannot be read is put off, so that it does not hold up the others."""
    calls = []
    async with connection.transaction():
        for event_id, handler, attempts, body, transition, request_id, metadata in await fetch(
            connection, sql.CLAIM_CALLS, handlers=list(handlers), now=now, lease_until=lease_until, limit=limit
        ):
            try:
                completion = completion_of(body, transition, request_id, metadata)
            except Exception as error:  # a newer release may be able to read it
                await fetch(
                    connection,
                    sql.RETRY_CALL,
                    event_id=event_id,
                    handler=handler,
                    attempts=attempts,
                    due=now + backoff(attempts, 0.0),
                    error=readable(describe(error)),
                )
                log.error("event %s cannot be read for handler %s: %s", event_id, handler, describe(error))
            else:
                calls.append(HandlerCall(handler=handler, completion=completion, attempts=attempts))
    return calls


async def renew_calls(connection: Connection, calls: Sequence[HandlerCall], lease_until: float) -> None:
    """Prolong leases."""
    await fetch(
        connection,
        sql.RENEW_CALLS,
        event_ids=[call.completion.event_id for call in calls],
        handlers=[call.handler for call in calls],
        attempts=[call.attempts for call in calls],
        lease_until=lease_until,
    )


async def finish_call(connection: Connection, call: HandlerCall, at: float) -> None:
    """Mark it done."""
    await fetch(connection, sql.FINISH_CALL, event_id=call.completion.event_id, handler=call.handler, at=at)


async def retry_call(connection: Connection, call: HandlerCall, due: float, error: str) -> None:
    """Put it back."""
    await fetch(
        connection,
        sql.RETRY_CALL,
        event_id=call.completion.event_id,
        handler=call.handler,
        attempts=call.attempts,
        due=due,
        error=readable(error),
    )


async def failing_calls(connection: Connection, limit: int) -> list[FailingCall]:
    """Read what fails."""
    names = FailingCall.__struct_fields__
    rows = await fetch(connection, sql.FAILING_CALLS, limit=limit)
    return [FailingCall(**dict(zip(names, row, strict=True))) for row in rows]
