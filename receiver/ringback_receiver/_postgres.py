"""The store for many replicas: PostgreSQL, through asyncpg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import TypeVar

from ringback_protocol import CompletionEvent
from ringback_receiver import _postgres_operations as operations
from ringback_receiver import _postgres_oversight as oversight
from ringback_receiver import _postgres_queries as sql
from ringback_receiver import _postgres_recording as recording
from ringback_receiver._group_commit import GroupCommit
from ringback_receiver._matching import PendingRequest, RequestState
from ringback_receiver._observer import Backlog
from ringback_receiver._postgres_connect import Connection
from ringback_receiver._postgres_failures import as_store_error, is_poison, translated
from ringback_receiver._postgres_hints import PostgresHints
from ringback_receiver._postgres_lines import Lines
from ringback_receiver._postgres_schema import ensure_current
from ringback_receiver._postgres_statement import fetch
from ringback_receiver._postgres_url import Place
from ringback_receiver._recording import Arrival
from ringback_receiver._store import (
    Checked,
    FailingCall,
    HandlerCall,
    History,
    Recorded,
    Registered,
    Settled,
    Told,
    Tracked,
)

__all__ = ["PATIENCE", "PostgresStore"]

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for anything that is asked of the server; whoever sends an event waits no longer than ten."""

_LINES = 4
"""Connections for everything but events."""

_WRITERS = 2
"""Batches of events under way at once, each on a connection of its own: the server works on one while we prepare the
next.  A third gains nothing."""


class PostgresStore:
    """The :class:`~ringback_receiver._store.Store` in a PostgreSQL database.

    :param patience: seconds.
    """

    def __init__(self, place: Place, *, patience: float = PATIENCE) -> None:
        self._place = place
        self._writing = Lines(place, most=_WRITERS, patience=patience)
        self._asking = Lines(place, most=_LINES, patience=patience)
        self._hints = PostgresHints(place, patience=patience)
        self._events = GroupCommit(
            self._record,
            is_poison=is_poison,
            failure=partial(as_store_error, place),
            written=self._recorded,
            writers=_WRITERS,
        )
        self._told: Told | None = None

    async def open(self) -> None:
        with translated(self._place):
            await self._writing.open()
            try:
                await self._asking.open()
                await self._asking.run(ensure_current)
            except BaseException:
                await self._asking.close()
                await self._writing.close()
                raise
        self._hints.open()

    async def close(self) -> None:
        await self._events.finish()
        await self._hints.close()
        await self._asking.close()
        await self._writing.close()

    async def register(self, request: PendingRequest, *, handlers: Sequence[str], adopt: bool = False) -> Registered:
        registered = await self._ask(lambda c: operations.register(c, request, handlers, adopt))
        if registered.request.state != "pending":
            self._hints.tell([registered.request.request_id])
        return registered

    async def record(
        self, event: CompletionEvent, body: bytes, *, received_at: float, handlers: Sequence[str]
    ) -> Recorded:
        return await self._events.submit(Arrival(event=event, body=body, received_at=received_at, handlers=handlers))

    def on_recorded(self, told: Told) -> None:
        self._told = told

    @property
    def recording(self) -> int:
        return len(self._events)

    async def look_up(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        return await self._ask(lambda c: operations.look_up(c, request_ids), again=True)

    async def settled(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        return await self._ask(lambda c: operations.settled(c, request_ids), again=True)

    def watch(self, settled: Settled) -> None:
        self._hints.watch(settled)

    async def backlog(self, *, now: float, most: int) -> Backlog:
        return await self._ask(lambda c: oversight.backlog(c, now, most), again=True)

    async def cancel(self, request_id: str) -> Tracked | None:
        return await self._leave_pending(request_id, "cancelled", reason=None, triggers=None)

    async def abandon(self, request_id: str, *, reason: str, triggers: int = 1) -> Tracked | None:
        return await self._leave_pending(request_id, "abandoned", reason=reason, triggers=triggers)

    async def change_marker(self) -> Hashable:
        ((marker,),) = await self._ask(lambda c: fetch(c, sql.MARKER), again=True)
        return str(marker)

    async def claim_calls(
        self, handlers: Sequence[str], *, now: float, lease_until: float, limit: int
    ) -> list[HandlerCall]:
        return await self._ask(lambda c: operations.claim_calls(c, handlers, now, lease_until, limit))

    async def renew_calls(self, calls: Sequence[HandlerCall], *, lease_until: float) -> None:
        await self._ask(lambda c: operations.renew_calls(c, calls, lease_until), again=True)

    async def finish_call(self, call: HandlerCall, *, at: float) -> None:
        await self._ask(lambda c: operations.finish_call(c, call, at), again=True)

    async def retry_call(self, call: HandlerCall, *, due: float, error: str) -> None:
        await self._ask(lambda c: operations.retry_call(c, call, due, error), again=True)

    async def failing_calls(self, *, limit: int) -> list[FailingCall]:
        return await self._ask(lambda c: operations.failing_calls(c, limit), again=True)

    async def give_up_call(self, call: HandlerCall, *, at: float, error: str) -> None:
        await self._ask(lambda c: oversight.give_up_call(c, call, at, error), again=True)

    async def retry_failed(
        self, *, now: float, request_id: str | None = None, handler: str | None = None, event_id: str | None = None
    ) -> int:
        return await self._ask(lambda c: oversight.retry_failed(c, now, request_id, handler, event_id))

    async def expire(self, *, now: float, limit: int) -> list[str]:
        expired = await self._ask(lambda c: oversight.expire(c, now, limit))
        self._hints.tell(expired)
        return expired

    async def confirm(self, request_id: str) -> None:
        await self._ask(lambda c: oversight.confirm(c, request_id), again=True)

    async def due_checks(self, callback_url: str, *, now: float, limit: int) -> list[PendingRequest]:
        return await self._ask(lambda c: oversight.due_checks(c, callback_url, now, limit), again=True)

    async def note_checks(self, checks: Sequence[Checked]) -> None:
        await self._ask(lambda c: oversight.note_checks(c, checks))

    async def hold_lease(self, name: str, *, holder: str, now: float, until: float) -> bool:
        return await self._ask(lambda c: oversight.hold_lease(c, name, holder, now, until), again=True)

    async def release_lease(self, name: str, *, holder: str) -> None:
        await self._ask(lambda c: oversight.release_lease(c, name, holder), again=True)

    async def list_requests(self, *, state: RequestState, limit: int) -> list[PendingRequest]:
        return await self._ask(lambda c: oversight.list_requests(c, state, limit), again=True)

    async def history(self, request_id: str) -> History | None:
        return await self._ask(lambda c: oversight.history(c, request_id), again=True)

    # --- inside

    async def _ask(self, operation: Callable[[Connection], Awaitable[T]], *, again: bool = False) -> T:
        with translated(self._place):
            return await self._asking.run(operation, again=again)

    async def _record(self, arrivals: Sequence[Arrival]) -> Sequence[Recorded]:
        # A second time is safe: an event happens once.
        return await self._writing.run(lambda c: recording.record(c, arrivals), again=True)

    def _recorded(self, arrivals: Sequence[Arrival], outcomes: Sequence[Recorded]) -> None:
        self._hints.tell(
            outcome.tracked.request.request_id
            for outcome in outcomes
            if outcome.tracked is not None and outcome.tracked.settled
        )
        if self._told is not None:
            self._told([(arrival.event, outcome) for arrival, outcome in zip(arrivals, outcomes, strict=True)])

    async def _leave_pending(
        self, request_id: str, state: RequestState, *, reason: str | None, triggers: int | None
    ) -> Tracked | None:
        tracked = await self._ask(
            lambda c: operations.leave_pending(c, request_id, state, reason=reason, triggers=triggers), again=True
        )
        if tracked is not None and tracked.settled:
            self._hints.tell([tracked.request.request_id])
        return tracked
