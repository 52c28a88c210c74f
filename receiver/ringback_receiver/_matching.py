"""Match an event with the request that waits for it: two values in, one decision out.

The store finds the candidate (:func:`ringback_receiver._store.Store.record`): the request whose id is the
event's correlation id; for an event without one, the request with its DAG id and run id.  An unknown
correlation id is parked and never falls back to DAG and run: it names somebody else's request, or one
that is still to be registered.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import msgspec

from ringback_protocol import CompletionEvent

__all__ = ["REACHES_HANDLERS", "STATUS", "PendingRequest", "RequestState", "Transition", "as_of", "match"]

RequestState = Literal["pending", "resolved", "cancelled", "abandoned", "expired"]


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody waits, or waited, for the end of a DAG run.

    :param request_id: also the correlation id.
    :param callback_url: that the event must be addressed to, byte for byte.
    :param created_at: Unix seconds.
    :param metadata: the caller's own, anything that JSON can say.
    :param event_id: of the event that resolved it.
    :param reason: why it was abandoned.
    :param triggers: how often its run was asked for; it also tells one trigger from a later one.
    :param deadline: when nobody waits for it any more, Unix seconds.
    :param next_check: when Airflow shall be asked about its run, Unix seconds; ``None`` for never.
    :param checks: how often it was.
    :param confirmed: whether the run is known to exist, or to have existed.
    """

    request_id: str
    dag_id: str
    run_id: str
    callback_url: str
    created_at: float
    metadata: Any = None
    state: RequestState = "pending"
    event_id: str | None = None
    reason: str | None = None
    triggers: int = 1
    deadline: float | None = None
    next_check: float | None = None
    checks: int = 0
    confirmed: bool = False


class Transition(str, Enum):
    """What an event means for the request that it matches.  The event is recorded whatever it means."""

    RESOLVE = "resolved"
    """The request was pending, or wrongly thought abandoned: this is its completion."""
    REVISE = "revised"
    """The request has its completion, which stays; this is another ending of the same run."""
    PROGRESS = "progress"
    """The run has started; nothing is resolved."""
    DUPLICATE = "duplicate"
    """This event id was recorded before."""
    PARK = "parked"
    """No request matches yet; one that is registered later may."""
    LATE = "late"
    """The request has expired: nobody waits for this ending any more."""
    CONFLICT = "conflict"
    """The request is about another run or another URL, as when a conf is copied to a second run."""
    CANCELLED = "cancelled"
    """The caller cancelled the request: the sender should stop."""


STATUS: dict[Transition, int] = {
    Transition.RESOLVE: 204,
    Transition.REVISE: 204,
    Transition.PROGRESS: 204,
    Transition.DUPLICATE: 204,
    Transition.PARK: 202,
    # Recorded, and no retry would make them match: 204 stops the sender.
    Transition.LATE: 204,
    Transition.CONFLICT: 204,
    Transition.CANCELLED: 410,
}
"""What the sender is answered."""

REACHES_HANDLERS = frozenset({Transition.RESOLVE, Transition.REVISE, Transition.LATE})
"""What ``on_completion`` handlers get to see."""


def as_of(request: PendingRequest, now: float) -> PendingRequest:
    """Return a request as it is at a moment: past its deadline it has expired, whoever notes that when."""
    if request.deadline is None or now < request.deadline or request.state not in ("pending", "abandoned"):
        return request
    return msgspec.structs.replace(request, state="expired", reason=None)


def match(request: PendingRequest | None, event: CompletionEvent, *, seen: bool) -> Transition:
    """Decide what an event means for a request.

    A request is abandoned when Airflow seems to have refused its run.  A signed event about that run proves
    that it exists, so an abandoned request is treated like a pending one.

    :param request: the candidate :func:`as_of` now, or ``None`` if there is none.
    :param seen: whether an event with this id is recorded already.
    """
    if request is None:
        return Transition.DUPLICATE if seen else Transition.PARK
    if not _is_about(request, event):
        return Transition.DUPLICATE if seen else Transition.CONFLICT
    if request.state == "cancelled":
        return Transition.CANCELLED  # before DUPLICATE: a repetition is told to stop, too
    if seen:
        return Transition.DUPLICATE
    if event.data.state == "running":
        return Transition.PROGRESS
    if request.state == "expired":
        return Transition.LATE
    return Transition.REVISE if request.state == "resolved" else Transition.RESOLVE


def _is_about(request: PendingRequest, event: CompletionEvent) -> bool:
    return (
        event.data.dag_id == request.dag_id
        and event.data.run_id == request.run_id
        and event.audience == request.callback_url
        and event.correlationid in (None, request.request_id)
    )
