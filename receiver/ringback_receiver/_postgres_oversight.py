"""What the PostgreSQL store does about time and trouble: deadlines, checks, leases, failed turns."""

from __future__ import annotations

from collections.abc import Sequence

from ringback_receiver import _postgres_queries as sql
from ringback_receiver._matching import PendingRequest, RequestState, Transition
from ringback_receiver._observer import Backlog
from ringback_receiver._postgres_connect import Connection
from ringback_receiver._postgres_operations import look_up
from ringback_receiver._postgres_statement import fetch
from ringback_receiver._postgres_text import comparable, readable
from ringback_receiver._rows import all_tracked, tracked_of
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
    "release_lease",
    "retry_failed",
]


async def backlog(connection: Connection, now: float, most: int) -> Backlog:
    """Count what is not over."""
    (row,) = await fetch(connection, sql.BACKLOG, now=now, most=most)
    return Backlog(**dict(zip(Backlog.__struct_fields__, row, strict=True)))


async def expire(connection: Connection, now: float, limit: int) -> list[str]:
    """Mark what has expired, if there is any: a look alone takes no transaction's number."""
    if not await fetch(connection, sql.OVERDUE_REQUEST, now=now):
        return []
    return [request_id for (request_id,) in await fetch(connection, sql.EXPIRE_REQUESTS, now=now, limit=limit)]


async def confirm(connection: Connection, request_id: str) -> None:
    """Note that the run exists."""
    await fetch(connection, sql.CONFIRM_REQUEST, request_id=comparable(request_id))


async def due_checks(connection: Connection, callback_url: str, now: float, limit: int) -> list[PendingRequest]:
    """Read whom to ask about."""
    rows = await fetch(connection, sql.DUE_CHECKS, callback_url=callback_url, now=now, limit=limit)
    return [tracked_of(row).request for row in rows]


async def note_checks(connection: Connection, checks: Sequence[Checked]) -> None:
    """Count them, and set the next ones."""
    await fetch(
        connection,
        sql.NOTE_CHECKS,
        request_ids=[each.request_id for each in checks],
        next_checks=[each.next_check for each in checks],
        seen=[each.exists for each in checks],
    )


async def hold_lease(connection: Connection, name: str, holder: str, now: float, until: float) -> bool:
    """Take it, or prolong it."""
    return bool(await fetch(connection, sql.HOLD_LEASE, name=name, holder=holder, now=now, until=until))


async def release_lease(connection: Connection, name: str, holder: str) -> None:
    """Let go of it."""
    await fetch(connection, sql.RELEASE_LEASE, name=name, holder=holder)


async def give_up_call(connection: Connection, call: HandlerCall, at: float, error: str) -> None:
    """Put it aside."""
    await fetch(
        connection,
        sql.GIVE_UP_CALL,
        event_id=call.completion.event_id,
        handler=call.handler,
        attempts=call.attempts,
        at=at,
        error=readable(error),
    )


async def retry_failed(
    connection: Connection, now: float, request_id: str | None, handler: str | None, event_id: str | None
) -> int:
    """Put failed turns back into the queue."""
    ((count,),) = await fetch(
        connection, sql.RETRY_FAILED, now=now, request_id=comparable(request_id), handler=handler, event_id=event_id
    )
    return int(count)


async def list_requests(connection: Connection, state: RequestState, limit: int) -> list[PendingRequest]:
    """Read requests in a state."""
    query = sql.PENDING_REQUESTS if state == "pending" else sql.SETTLED_REQUESTS
    return [each.request for each in all_tracked(await fetch(connection, query, state=state, limit=limit))]


async def history(connection: Connection, request_id: str) -> History | None:
    """Read a request, its events and their turns, all as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tracked = (await look_up(connection, [request_id])).get(request_id)
        if tracked is None:
            return None
        events = [
            EventNote(event_id=event_id, transition=Transition(transition), received_at=received_at)
            for event_id, transition, received_at in await fetch(connection, sql.EVENTS_OF, request_id=request_id)
        ]
        names = CallNote.__struct_fields__
        rows = await fetch(connection, sql.CALLS_OF, request_id=request_id)
        calls = [CallNote(**dict(zip(names, row, strict=True))) for row in rows]
    return History(request=tracked.request, events=tuple(events), calls=tuple(calls))
