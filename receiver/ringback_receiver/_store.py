"""The store's contract: what every store keeps, and what it promises.

- A method returns after its changes are durable: they survive a crash of the machine.
- Each method is one transaction; one that fails leaves nothing behind and harms no other.
- Several processes may use one store at the same time.
- An event is remembered for longer than its sender may repeat it: the whole schedule of retries and the
  tolerance, three and a half days.  Nothing is deleted yet; whatever is one day must be older than that.
- A store that cannot do its work now raises :class:`~ringback_receiver.errors.StoreError`.

``test_store_contract.py`` and ``test_store_contract_deadlines.py`` (tests/integration/receiver) run over every store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ringback_protocol import CompletionEvent
from ringback_receiver._completion import Completion
from ringback_receiver._matching import PendingRequest, RequestState, Transition
from ringback_receiver._observer import Backlog

__all__ = ["FailingCall", "HandlerCall", "Recorded", "Registered", "Settled", "Store", "Told", "Tracked"]


Settled: TypeAlias = Callable[[Collection[str] | None], None]
"""Who wants to know which requests another process has settled; see :meth:`Store.watch`."""


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it is now; ``completion`` is what resolved it, if it is resolved."""

    request: PendingRequest
    completion: Completion | None = None

    @property
    def settled(self) -> bool:
        """Whether waiting for it is over."""
        return self.request.state != "pending"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is kept now.

    :param found: the state in which an earlier one was found and adopted, ``None`` if this one is new.
    """

    request: PendingRequest
    found: RequestState | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event, and the request that it matched as it is now."""

    transition: Transition
    tracked: Tracked | None = None


Told: TypeAlias = Callable[[Sequence[tuple[CompletionEvent, Recorded]]], None]
"""Who wants to know what was recorded; see :meth:`Store.on_recorded`."""


class HandlerCall(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's turn, leased to whoever claimed it.

    :param attempts: this one included; it also tells a claim from a later one of the same turn.
    """

    handler: str
    completion: Completion
    attempts: int


class FailingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's turn that failed at least once and is not done.

    :param due: when it is tried again, Unix seconds.
    :param error: of the last attempt: the exception's type and message.
    :param given_up_at: when it was given up, Unix seconds; then it is not tried again by itself.
    """

    handler: str
    event_id: str
    request_id: str
    attempts: int
    due: float
    error: str
    given_up_at: float | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Airflow was asked about the run of a request, which stays pending.

    :param next_check: when to ask again, Unix seconds.
    :param exists: whether the run was seen.
    """

    request_id: str
    next_check: float
    exists: bool


class EventNote(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was recorded for a request, and what it meant."""

    event_id: str
    transition: Transition
    received_at: float


class CallNote(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's turn, whatever became of it."""

    handler: str
    event_id: str
    attempts: int
    due: float
    error: str | None
    done_at: float | None
    given_up_at: float | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of one request; the oldest event first."""

    request: PendingRequest
    events: tuple[EventNote, ...]
    calls: tuple[CallNote, ...]


class Store(Protocol):
    """Where requests, events and handlers' turns are kept.  Times are Unix seconds."""

    async def open(self) -> None:
        """Get ready, creating what is missing.

        :raises ConfigurationError: the store's schema is of another version than ours.
        """

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""

    async def register(self, request: PendingRequest, *, handlers: Sequence[str], adopt: bool = False) -> Registered:
        """Keep a new request, and give it the parked events that match it, in the order of their arrival.

        :param handlers: whose turn it is if such an event resolves it.
        :param adopt: whether an earlier request for the same DAG, run and URL takes its place, if there is
            one that is pending, abandoned (then it is pending again) or resolved, and whose deadline has not
            passed when the new one was created.  It keeps its metadata and its deadline.
        """

    async def record(
        self, event: CompletionEvent, body: bytes, *, received_at: float, handlers: Sequence[str]
    ) -> Recorded:
        """Keep an event, unless its id is known, and make the transition that it means.

        The transition is that of the request :func:`~ringback_receiver._matching.as_of` ``received_at``: if its
        deadline has passed, a new event marks it as expired, in the same transaction.

        Whoever calls this may give up, and be cancelled: the event is recorded all the same.

        :param body: the event's raw bytes.
        :param handlers: whose turn it is if it resolves or revises a request, or comes late.
        """

    def on_recorded(self, told: Told) -> None:
        """Have it called, in the event loop, after each commit with what :meth:`record` made durable."""

    @property
    def recording(self) -> int:
        """How many events this process is just recording, those included that nobody waits for any more."""

    async def look_up(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        """Return those of the requests that exist."""

    async def settled(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        """Return those of the requests that are no longer pending."""

    def watch(self, settled: Settled) -> None:
        """Have it called, in the event loop, with the ids of requests that another process has settled.

        It is a hint: it may come late, or never, and with ``None`` when any may have been settled.
        """

    async def backlog(self, *, now: float, most: int) -> Backlog:
        """Count what is not over; cheap, however much is.

        :param most: how far anything is counted.
        """

    async def cancel(self, request_id: str) -> Tracked | None:
        """Cancel a request that is pending, and return it as it is now, or ``None`` if there is none."""

    async def abandon(self, request_id: str, *, reason: str, triggers: int = 1) -> Tracked | None:
        """Mark a request that is pending as one whose run will never exist; return it as it is now.

        :param triggers: of the request when it was registered.  If it was asked for again since, nothing is
            changed: that trigger may have created the run.
        """

    async def change_marker(self) -> Hashable:
        """Return a value that differs from the previous one if anything may have changed; cheap."""

    async def claim_calls(
        self, handlers: Sequence[str], *, now: float, lease_until: float, limit: int
    ) -> list[HandlerCall]:
        """Lease handlers' turns that are due; one that is neither finished nor retried is due again then.

        A turn whose event cannot be read is not returned: it is noted as failed, and tried again later.
        """

    async def renew_calls(self, calls: Sequence[HandlerCall], *, lease_until: float) -> None:
        """Prolong the leases that are still ours."""

    async def finish_call(self, call: HandlerCall, *, at: float) -> None:
        """Note that a handler did its work."""

    async def retry_call(self, call: HandlerCall, *, due: float, error: str) -> None:
        """Note that a handler failed and when to try again, unless somebody else has claimed it since."""

    async def failing_calls(self, *, limit: int) -> list[FailingCall]:
        """Return the turns that failed and are not done, the most often tried first; those given up, too."""

    async def give_up_call(self, call: HandlerCall, *, at: float, error: str) -> None:
        """Note that a handler failed for the last time, unless somebody else has claimed the turn since."""

    async def retry_failed(
        self, *, now: float, request_id: str | None = None, handler: str | None = None, event_id: str | None = None
    ) -> int:
        """Make failed turns due now, those given up included; return how many.

        A turn that somebody holds a lease of is left alone.  Attempts go on being counted.

        :param request_id: only of this request; likewise ``handler`` and ``event_id``.
        """

    async def expire(self, *, now: float, limit: int) -> list[str]:
        """Mark pending requests whose deadline has passed as expired, the oldest deadline first; return their ids.

        While there is none, it costs no more than a look.
        """

    async def confirm(self, request_id: str) -> None:
        """Note that the run of a request exists."""

    async def due_checks(self, callback_url: str, *, now: float, limit: int) -> list[PendingRequest]:
        """Return requests for this URL that are pending, before their deadline, and to be asked about now.

        The longest due come first.
        Their metadata is left out: nobody needs it, and what cannot be read must not hold up the others.
        """

    async def note_checks(self, checks: Sequence[Checked]) -> None:
        """Note that Airflow was asked, and when to ask again; a run that was seen is confirmed for good."""

    async def hold_lease(self, name: str, *, holder: str, now: float, until: float) -> bool:
        """Take or prolong a lease, unless another holder's lasts longer than ``now``; return whether it is held."""

    async def release_lease(self, name: str, *, holder: str) -> None:
        """Let go of a lease, if it is this holder's."""

    async def list_requests(self, *, state: RequestState, limit: int) -> list[PendingRequest]:
        """Return requests in a state: those that are pending oldest first, others newest first."""

    async def history(self, request_id: str) -> History | None:
        """Return all that is kept of a request, or ``None`` if there is none."""
