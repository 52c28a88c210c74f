"""What a receiver has while it is open: who waits, who handles, who looks at the clock, who asks Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ringback_protocol import CompletionEvent
from ringback_receiver._background import Background
from ringback_receiver._counting import INTERVAL, Counting
from ringback_receiver._deadlines import LOOK_INTERVAL, Deadlines
from ringback_receiver._dispatcher import Dispatcher
from ringback_receiver._event_log import log_event
from ringback_receiver._handlers import Handlers
from ringback_receiver._matching import REACHES_HANDLERS, PendingRequest, Transition
from ringback_receiver._observer import Observer
from ringback_receiver._reconciler import Reconciler
from ringback_receiver._store import Recorded, Store
from ringback_receiver._waiters import Waiters
from ringback_receiver.errors import StoreError

__all__ = ["Opened"]

log = logging.getLogger("ringback_receiver")

_WORTH_A_WARNING = frozenset({Transition.CONFLICT, Transition.LATE})


class Opened:
    """The parts, and what goes through all of them.

    :param clock: Unix seconds.
    :param destination: whose keys sign, for the log.
    """

    def __init__(
        self, store: Store, handlers: Handlers, clock: Callable[[], float], *, observer: Observer, destination: str
    ) -> None:
        self._observer = observer
        self._destination = destination
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._reconciler: Reconciler | None = None
        store.on_recorded(self._recorded)
        self.waiters = Waiters(store)
        self.dispatcher = Dispatcher(store, handlers, clock=clock, handled=observer.handled, destination=destination)
        deadlines = Deadlines(store, self.waiters, clock)
        self._background = [Background("cannot look for expired requests", deadlines.look, after_failure=LOOK_INTERVAL)]

    def reconcile(self, reconciler: Reconciler) -> None:
        """Ask Airflow about overdue requests from now on."""
        self._reconciler = reconciler
        self._background.append(Background("cannot reconcile", reconciler.look, after_failure=LOOK_INTERVAL))

    def count(self, limit: int) -> None:
        """Tell the observer now and then what waits, from now on.

        :param limit: how many events may wait for the store in this process.
        """
        counting = Counting(self._store, self._observer, limit=limit, clock=self._clock)
        self._background.append(Background("cannot count what waits", counting.look, after_failure=INTERVAL))

    async def record(self, event: CompletionEvent, body: bytes, *, received_at: float | None = None) -> Transition:
        """Make an event durable; whom it concerns is woken then, whether or not the caller has given up.

        :param received_at: by default now.
        :raises StoreError: nothing was recorded.
        """
        recorded = await self._store.record(
            event,
            body,
            received_at=self._clock() if received_at is None else received_at,
            handlers=self._handlers.names_for(event.data.dag_id),
        )
        return recorded.transition

    def _recorded(self, events: Sequence[tuple[CompletionEvent, Recorded]]) -> None:
        for event, recorded in events:
            if recorded.tracked is not None and recorded.tracked.settled:
                self.waiters.settle(recorded.tracked)
            if recorded.transition in REACHES_HANDLERS:
                self.dispatcher.wake()
            level = logging.WARNING if recorded.transition in _WORTH_A_WARNING else logging.INFO
            if log.isEnabledFor(level):
                log_event(log, level, event, recorded.transition.value, destination=self._destination)
        # Last: it may be anybody's.
        self._observer.committed(len(events))
        for event, recorded in events:
            found_by_us = event.data.reported_by == "reconciler"  # nobody sent it, and its time may be when we looked
            if not found_by_us:
                self._observer.received(recorded.transition.value)
            if recorded.transition is Transition.RESOLVE and not found_by_us:
                self._observer.completed(event, self._clock())

    async def confirm(self, request: PendingRequest) -> None:
        """Note that a run exists, as far as the store can: should it vanish, that means something."""
        try:
            await self._store.confirm(request.request_id)
        except StoreError as error:
            log.warning("request %s: its run cannot be noted as confirmed: %s", request.request_id, error)

    async def abandon(self, request: PendingRequest, reason: str) -> None:
        """Give a request up, as far as the store can: why it is given up matters more than our trouble."""
        try:
            tracked = await self._store.abandon(request.request_id, reason=reason, triggers=request.triggers)
        except StoreError as error:
            log.warning("request %s: cannot be marked as abandoned: %s", request.request_id, error)
        else:
            if tracked is not None and tracked.settled:
                self.waiters.settle(tracked)

    async def close(self, timeout: float) -> None:
        """Take nothing more, let handlers finish, and end whoever waits.

        :param timeout: seconds for handlers.
        """
        try:
            await self.dispatcher.close(timeout)
        finally:
            await self.waiters.close()
            for background in self._background:
                await background.close()
            await self._let_go()

    async def _let_go(self) -> None:
        try:
            if self._reconciler is not None:
                await self._reconciler.let_go()
        except StoreError as error:
            log.warning("the reconciler's lease cannot be released, and ends by itself: %s", error)
