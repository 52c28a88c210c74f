"""How a batch of events is recorded, in whichever store: a plain generator that says what to read and what to write.

Each store runs it with its own means, as httpx runs an auth flow: the logic exists once, and does no I/O.

- The same event twice in a batch is recorded once, by its first arrival; the others are repetitions.
- Of different events of one request each waits for the one before it, in the order of their arrival: within a round
  no event depends on another, so a store may write them in any order, or lose a race for one of them alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeAlias

import msgspec

from ringback_protocol import CompletionEvent
from ringback_receiver._completion import Completion
from ringback_receiver._matching import PendingRequest, Transition, as_of, match
from ringback_receiver._store import Recorded, Tracked

__all__ = ["Arrival", "Known", "Look", "Recording", "Step", "Write", "changes", "record_all"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """An event that came in; see :meth:`ringback_receiver._store.Store.record`."""

    event: CompletionEvent
    body: bytes
    received_at: float
    handlers: Sequence[str]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows of an arrival.

    :param seen: whether the event is recorded already.
    :param tracked: the request that may be meant.
    """

    seen: bool
    tracked: Tracked | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What an arrival does.

    :param new: whether there is anything to write: the event has not been recorded before.
    :param found: the request as it was; if its state is another by now, the step is not to be made.
    """

    arrival: Arrival
    new: bool
    found: PendingRequest | None
    recorded: Recorded

    @property
    def request(self) -> PendingRequest | None:
        """The request as it is afterwards."""
        return self.recorded.tracked.request if self.recorded.tracked else None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is known of these, in their order.

    :param hold: whether, until the next write, no request may be registered that one of them could be about.
    """

    arrivals: Sequence[Arrival]
    hold: bool


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Make these steps, and return the ids of the events whose step was made."""

    steps: Sequence[Step]


Recording: TypeAlias = Generator[Look | Write, Sequence[Known] | frozenset[str], list[Recorded]]


def record_all(arrivals: Sequence[Arrival], *, exclusive: bool) -> Recording:
    """Record a batch; returns what became of each.

    :param exclusive: whether nobody else can change anything meanwhile.
    """
    first: dict[str, Arrival] = {}
    for arrival in arrivals:
        first.setdefault(arrival.event.id, arrival)
    outcomes: dict[str, Recorded] = {}
    hold = False
    while left := [arrival for name, arrival in first.items() if name not in outcomes]:
        known = yield Look(arrivals=left, hold=hold)
        assert not isinstance(known, frozenset)
        steps = _round(left, known)
        new = [step for step in steps if step.new]
        if not (hold or exclusive) and any(step.recorded.transition is Transition.PARK for step in new):
            # Its request may just be looking for parked events: look again when it has, or cannot yet.
            hold = True
            continue
        made = frozenset[str]()
        if new:
            written = yield Write(steps=new)
            assert isinstance(written, frozenset)
            made = written
        for step in steps:
            if not step.new or step.arrival.event.id in made:
                outcomes[step.arrival.event.id] = step.recorded
        hold = False
    return [
        outcomes[name] if first[name] is arrival else _repeated(arrival, outcomes[name])
        for arrival in arrivals
        for name in (arrival.event.id,)
    ]


def _round(arrivals: Sequence[Arrival], known: Sequence[Known]) -> list[Step]:
    """Decide about those that do not depend on one before them."""
    steps: list[Step] = []
    taken: set[str] = set()
    for arrival, of in zip(arrivals, known, strict=True):
        if of.tracked is not None:
            if of.tracked.request.request_id in taken:
                continue
            taken.add(of.tracked.request.request_id)
        steps.append(_step(arrival, of))
    return steps


def _step(arrival: Arrival, of: Known) -> Step:
    found = of.tracked.request if of.tracked else None
    # What is written depends on the request as it was found, what is decided on the request as it is by now.
    now = as_of(found, arrival.received_at) if found else None
    transition = match(now, arrival.event, seen=of.seen)
    tracked = of.tracked if of.seen else _after(of.tracked, now, transition, arrival.event)
    return Step(
        arrival=arrival, new=not of.seen, found=found, recorded=Recorded(transition=transition, tracked=tracked)
    )


def _after(
    tracked: Tracked | None, now: PendingRequest | None, transition: Transition, event: CompletionEvent
) -> Tracked | None:
    """Return the request as a transition leaves it.

    :param now: the request at the moment of the transition: expired, if its deadline has passed.
    """
    if tracked is None or now is None:
        return None
    request = msgspec.structs.replace(now, **changes(now, transition, event.id))
    if transition is not Transition.RESOLVE:
        return Tracked(request=request, completion=tracked.completion)
    completion = Completion(event=event, request_id=request.request_id, metadata=request.metadata)
    return Tracked(request=request, completion=completion)


def changes(request: PendingRequest, transition: Transition, event_id: str) -> dict[str, str | None]:
    """Return what a transition changes of a request."""
    if transition is Transition.RESOLVE:
        return {"state": "resolved", "reason": None, "event_id": event_id}
    if transition is Transition.PROGRESS and request.state == "abandoned":
        return {"state": "pending", "reason": None}
    return {}


def _repeated(arrival: Arrival, recorded: Recorded) -> Recorded:
    """Return what became of an event that was recorded a moment ago."""
    request = recorded.tracked.request if recorded.tracked else None
    return Recorded(transition=match(request, arrival.event, seen=True), tracked=recorded.tracked)
