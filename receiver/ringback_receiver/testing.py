"""For the tests of whoever uses the receiver: a store in memory that keeps every promise but durability.

    receiver = Receiver(url, keys, airflow=..., store=MemoryStore())

It runs through the same tests as the stores that are real.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ringback_protocol import CompletionEvent, decode_event
from ringback_receiver._completion import Completion
from ringback_receiver._matching import REACHES_HANDLERS, PendingRequest, RequestState, Transition, as_of
from ringback_receiver._observer import Backlog
from ringback_receiver._parked import take_parked
from ringback_receiver._recording import Arrival, Known, Look, Step, record_all
from ringback_receiver._store import (
    CallNote,
    Checked,
    EventNote,
    FailingCall,
    HandlerCall,
    History,
    Recorded,
    Registered,
    Settled,
    Told,
    Tracked,
)
from ringback_receiver.errors import StoreError

__all__ = ["MemoryStore"]


@dataclass(slots=True, kw_only=True)
class _Event:
    """A row of events."""

    request_id: str | None
    transition: Transition
    received_at: float
    event: CompletionEvent
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Call:
    """A row of handlers' turns."""

    due: float
    attempts: int = 0
    error: str | None = None
    done_at: float | None = None
    given_up_at: float | None = None
    leased: bool = False


@dataclass(slots=True)
class _Tables:
    """What is kept; every change takes place between two awaits, so that nobody sees half of it."""

    requests: dict[str, PendingRequest] = field(default_factory=dict)
    events: dict[str, _Event] = field(default_factory=dict)
    calls: dict[tuple[str, str], _Call] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    changes: int = 0
    open: list[MemoryStore] = field(default_factory=list)


class MemoryStore:
    """The :class:`~ringback_receiver._store.Store` in memory.

    :param peer: another one, whose memory is shared: what a second process would be to a real store.
    """

    def __init__(self, peer: MemoryStore | None = None) -> None:
        self._tables: _Tables = peer._tables if peer is not None else _Tables()
        self._settled: Settled | None = None
        self._told: Told | None = None

    async def open(self) -> None:
        self._tables.open.append(self)

    async def close(self) -> None:
        if self in self._tables.open:
            self._tables.open.remove(self)

    async def register(self, request: PendingRequest, *, handlers: Sequence[str], adopt: bool = False) -> Registered:
        tables = self._changing()
        if adopt and (earlier := self._adoptable(request)) is not None:
            state: RequestState = "pending" if earlier.state == "abandoned" else earlier.state
            now = msgspec.structs.replace(earlier, state=state, reason=None, triggers=earlier.triggers + 1, checks=0)
            tables.requests[now.request_id] = now
            return Registered(request=now, found=earlier.state)
        if request.request_id in tables.requests:
            raise StoreError(f"memory store: there is a request {request.request_id} already")
        # What JSON makes of it, as everywhere.
        request = msgspec.structs.replace(request, metadata=msgspec.json.decode(msgspec.json.encode(request.metadata)))
        parked = sorted(
            (row for row in tables.events.values() if _waits_for(row, request)),
            key=lambda row: (row.received_at, row.event.id),
        )
        request, taken = take_parked(request, [row.body for row in parked])
        for event in taken:
            row = tables.events[event.event_id]
            row.request_id, row.transition = request.request_id, event.transition
            self._give_turns(event.event_id, event.transition, handlers, request.created_at)
        tables.requests[request.request_id] = request
        return Registered(request=request)

    async def record(
        self, event: CompletionEvent, body: bytes, *, received_at: float, handlers: Sequence[str]
    ) -> Recorded:
        self._changing()
        recording = record_all(
            [Arrival(event=event, body=body, received_at=received_at, handlers=handlers)], exclusive=True
        )
        answer: Sequence[Known] | frozenset[str] | None = None
        while True:
            try:
                asked = next(recording) if answer is None else recording.send(answer)
            except StopIteration as end:
                recorded: Recorded = end.value[0]
                self._tell(recorded.tracked)
                if self._told is not None:
                    self._told([(event, recorded)])
                return recorded
            answer = [self._known(a) for a in asked.arrivals] if isinstance(asked, Look) else self._write(asked.steps)

    def on_recorded(self, told: Told) -> None:
        self._told = told

    @property
    def recording(self) -> int:
        return 0

    async def look_up(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        requests = self._reading().requests
        return {name: self._tracked(requests[name]) for name in request_ids if name in requests}

    async def settled(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        return {name: tracked for name, tracked in (await self.look_up(request_ids)).items() if tracked.settled}

    def watch(self, settled: Settled) -> None:
        self._settled = settled

    async def backlog(self, *, now: float, most: int) -> Backlog:
        tables = self._reading()
        pending = [request for request in tables.requests.values() if request.state == "pending"]
        undone = [call for call in tables.calls.values() if call.done_at is None]
        return Backlog(
            pending=min(len(pending), most),
            overdue=min(sum(each.next_check is not None and each.next_check <= now for each in pending), most),
            oldest=min((each.created_at for each in pending), default=None),
            parked=min(sum(row.transition is Transition.PARK for row in tables.events.values()), most),
            calls=min(sum(call.given_up_at is None for call in undone), most),
            failing=min(sum(call.error is not None for call in undone), most),
        )

    async def cancel(self, request_id: str) -> Tracked | None:
        return self._leave_pending(request_id, "cancelled")

    async def abandon(self, request_id: str, *, reason: str, triggers: int = 1) -> Tracked | None:
        return self._leave_pending(request_id, "abandoned", reason=reason, triggers=triggers)

    async def change_marker(self) -> Hashable:
        return self._reading().changes

    async def claim_calls(
        self, handlers: Sequence[str], *, now: float, lease_until: float, limit: int
    ) -> list[HandlerCall]:
        tables = self._changing()
        due = sorted(
            (
                (call.due, key)
                for key, call in tables.calls.items()
                if call.done_at is None and call.given_up_at is None and call.due <= now and key[1] in handlers
            ),
        )
        claimed = []
        for _, (event_id, handler) in due[:limit]:
            call = tables.calls[event_id, handler]
            call.due, call.attempts, call.leased = lease_until, call.attempts + 1, True
            claimed.append(HandlerCall(handler=handler, completion=self._completion(event_id), attempts=call.attempts))
        return claimed

    async def renew_calls(self, calls: Sequence[HandlerCall], *, lease_until: float) -> None:
        self._changing()
        for call in calls:
            if (row := self._ours(call)) is not None:
                row.due = lease_until

    async def finish_call(self, call: HandlerCall, *, at: float) -> None:
        row = self._changing().calls[call.completion.event_id, call.handler]
        row.done_at, row.error, row.given_up_at, row.leased = at, None, None, False

    async def retry_call(self, call: HandlerCall, *, due: float, error: str) -> None:
        self._changing()
        if (row := self._ours(call)) is not None:
            row.due, row.error, row.leased = due, error, False

    async def failing_calls(self, *, limit: int) -> list[FailingCall]:
        failing = [
            FailingCall(
                handler=handler,
                event_id=event_id,
                request_id=self._tables.events[event_id].request_id or "",
                attempts=call.attempts,
                due=call.due,
                error=call.error,
                given_up_at=call.given_up_at,
            )
            for (event_id, handler), call in self._reading().calls.items()
            if call.done_at is None and call.error is not None
        ]
        return sorted(failing, key=lambda call: (-call.attempts, call.due))[:limit]

    async def give_up_call(self, call: HandlerCall, *, at: float, error: str) -> None:
        self._changing()
        if (row := self._ours(call)) is not None:
            row.given_up_at, row.error, row.leased = at, error, False

    async def retry_failed(
        self, *, now: float, request_id: str | None = None, handler: str | None = None, event_id: str | None = None
    ) -> int:
        tables = self._changing()
        meant = [
            call
            for key, call in tables.calls.items()
            if call.done_at is None and call.error is not None and not (call.leased and call.due > now)
            if request_id in (None, tables.events[key[0]].request_id)
            if event_id in (None, key[0]) and handler in (None, key[1])
        ]
        for call in meant:
            call.due, call.given_up_at = now, None
        return len(meant)

    async def expire(self, *, now: float, limit: int) -> list[str]:
        overdue = sorted(
            (request.deadline, request.request_id)
            for request in self._reading().requests.values()
            if request.state == "pending" and request.deadline is not None and request.deadline <= now
        )
        return [request_id for _, request_id in overdue[:limit] if self._leave_pending(request_id, "expired")]

    async def confirm(self, request_id: str) -> None:
        self._change(request_id, confirmed=True)

    async def due_checks(self, callback_url: str, *, now: float, limit: int) -> list[PendingRequest]:
        due = sorted(
            (request.next_check, request.request_id)
            for request in self._reading().requests.values()
            if request.state == "pending" and request.callback_url == callback_url
            if request.next_check is not None and request.next_check <= now
            if request.deadline is None or request.deadline > now
        )
        requests = self._tables.requests
        return [msgspec.structs.replace(requests[request_id], metadata=None) for _, request_id in due[:limit]]

    async def note_checks(self, checks: Sequence[Checked]) -> None:
        for each in checks:
            if (request := self._reading().requests.get(each.request_id)) is not None:
                self._change(
                    each.request_id,
                    next_check=each.next_check,
                    checks=request.checks + 1,
                    confirmed=request.confirmed or each.exists,
                )

    async def hold_lease(self, name: str, *, holder: str, now: float, until: float) -> bool:
        leases = self._changing().leases
        held_by, its_end = leases.get(name, (holder, now))
        if held_by != holder and its_end > now:
            return False
        leases[name] = (holder, until)
        return True

    async def release_lease(self, name: str, *, holder: str) -> None:
        leases = self._changing().leases
        if name in leases and leases[name][0] == holder:
            del leases[name]

    async def list_requests(self, *, state: RequestState, limit: int) -> list[PendingRequest]:
        found = [request for request in self._reading().requests.values() if request.state == state]
        if state == "pending":
            return sorted(found, key=lambda request: (request.created_at, request.request_id))[:limit]
        return sorted(found, key=lambda request: request.request_id, reverse=True)[:limit]

    async def history(self, request_id: str) -> History | None:
        tables = self._reading()
        if request_id not in tables.requests:
            return None
        events = sorted(
            (row.received_at, event_id) for event_id, row in tables.events.items() if row.request_id == request_id
        )
        return History(
            request=tables.requests[request_id],
            events=tuple(
                EventNote(event_id=event_id, transition=tables.events[event_id].transition, received_at=received_at)
                for received_at, event_id in events
            ),
            calls=tuple(
                CallNote(
                    handler=handler,
                    event_id=event_id,
                    attempts=call.attempts,
                    due=call.due,
                    error=call.error,
                    done_at=call.done_at,
                    given_up_at=call.given_up_at,
                )
                for _, of in events
                for (event_id, handler), call in sorted(tables.calls.items(), key=lambda item: item[0])
                if event_id == of
            ),
        )

    # --- inside

    def _reading(self) -> _Tables:
        if self not in self._tables.open:
            raise StoreError("memory store: it is closed")
        return self._tables

    def _changing(self) -> _Tables:
        self._reading().changes += 1
        return self._tables

    def _by_run(self, dag_id: str, run_id: str) -> list[PendingRequest]:
        """Return the requests of a run: first what still waits, then the newest."""
        found = [r for r in self._tables.requests.values() if (r.dag_id, r.run_id) == (dag_id, run_id)]
        return sorted(found, key=lambda request: (request.state != "pending", -request.created_at))

    def _adoptable(self, wanted: PendingRequest) -> PendingRequest | None:
        for request in self._by_run(wanted.dag_id, wanted.run_id):
            alive = as_of(request, wanted.created_at).state in ("pending", "abandoned", "resolved")
            if alive and request.callback_url == wanted.callback_url:
                return request
        return None

    def _known(self, arrival: Arrival) -> Known:
        event = arrival.event
        if event.correlationid is not None:
            request = self._tables.requests.get(event.correlationid)
        else:
            request = next(iter(self._by_run(event.data.dag_id, event.data.run_id)), None)
        return Known(seen=event.id in self._tables.events, tracked=self._tracked(request) if request else None)

    def _write(self, steps: Sequence[Step]) -> frozenset[str]:
        for step in steps:
            arrival, request = step.arrival, step.request
            self._tables.events[arrival.event.id] = _Event(
                request_id=request.request_id if request else None,
                transition=step.recorded.transition,
                received_at=arrival.received_at,
                event=arrival.event,
                body=arrival.body,
            )
            if request is not None:
                self._tables.requests[request.request_id] = request
            self._give_turns(arrival.event.id, step.recorded.transition, arrival.handlers, arrival.received_at)
        return frozenset(step.arrival.event.id for step in steps)

    def _give_turns(self, event_id: str, transition: Transition, handlers: Sequence[str], due: float) -> None:
        if transition in REACHES_HANDLERS:
            for handler in handlers:
                self._tables.calls.setdefault((event_id, handler), _Call(due=due))

    def _leave_pending(
        self, request_id: str, state: RequestState, *, reason: str | None = None, triggers: int | None = None
    ) -> Tracked | None:
        tables = self._changing()
        request = tables.requests.get(request_id)
        if request is None:
            return None
        if request.state == "pending" and triggers in (None, request.triggers):
            request = tables.requests[request_id] = msgspec.structs.replace(request, state=state, reason=reason)
        tracked = self._tracked(request)
        self._tell(tracked)
        return tracked

    def _change(self, request_id: str, **changes: Any) -> None:
        requests = self._changing().requests
        if request_id in requests:
            requests[request_id] = msgspec.structs.replace(requests[request_id], **changes)

    def _tracked(self, request: PendingRequest) -> Tracked:
        if request.event_id is None:
            return Tracked(request=request)
        return Tracked(request=request, completion=self._completion(request.event_id))

    def _completion(self, event_id: str) -> Completion:
        row = self._tables.events[event_id]
        assert row.request_id is not None
        return Completion(
            event=decode_event(row.body),
            request_id=row.request_id,
            metadata=self._tables.requests[row.request_id].metadata,
            revision=row.transition is Transition.REVISE,
            late=row.transition is Transition.LATE,
        )

    def _ours(self, call: HandlerCall) -> _Call | None:
        row = self._tables.calls[call.completion.event_id, call.handler]
        return row if row.attempts == call.attempts and row.done_at is None else None

    def _tell(self, tracked: Tracked | None) -> None:
        if tracked is not None and tracked.settled:
            for store in self._tables.open:
                if store is not self and store._settled is not None:
                    store._settled([tracked.request.request_id])


def _waits_for(row: _Event, request: PendingRequest) -> bool:
    if row.transition is not Transition.PARK:
        return False
    event = row.event
    if event.correlationid is not None:
        return event.correlationid == request.request_id
    return (event.data.dag_id, event.data.run_id) == (request.dag_id, request.run_id)
