"""Run handlers after the commit, at least once each, however often they fail and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from ringback_protocol.log_fields import shown
from ringback_receiver._event_log import log_event
from ringback_receiver._handlers import Handlers, delay_after, describe
from ringback_receiver._observer import SILENT, HandlerOutcome
from ringback_receiver._store import HandlerCall, Store
from ringback_receiver._tracing import handling
from ringback_receiver.errors import StoreError

__all__ = ["CONCURRENCY", "LEASE", "POLL_INTERVAL", "Dispatcher"]

LEASE = 30.0
"""Seconds after which the turns of a process that died are taken over; the living renew theirs."""
POLL_INTERVAL = 1.0
"""Seconds between two looks for turns that are due, besides those that are announced."""
CONCURRENCY = 16
"""Handlers that run at the same time in one process."""
GRACE = 5.0
"""Seconds that what is cancelled is given to end; a handler that will not is left behind."""

log = logging.getLogger("ringback_receiver")


class Dispatcher:
    """Claim what is due, run it, note what came of it.

    :param clock: Unix seconds.
    :param chance: a random number in [0, 1).
    :param handled: told of every turn that ended, by the handler's name.
    :param destination: whose keys sign, for the log.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
        lease: float = LEASE,
        poll_interval: float = POLL_INTERVAL,
        handled: Callable[[str, HandlerOutcome], None] = SILENT.handled,
        destination: str = "",
    ) -> None:
        self._handled = handled
        self._destination = destination
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._chance = chance
        self._lease = lease
        self._interval = poll_interval
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], HandlerCall] = {}
        self._renewed = clock()
        self._closing = False
        self._cancelling = False
        self._loop = asyncio.create_task(self._dispatch(), name="ringback-handlers")

    def wake(self) -> None:
        """Look now: something may be due."""
        self._wake.set()

    async def close(self, timeout: float) -> None:
        """Take nothing more, and let what runs finish.

        :param timeout: seconds after which it is cancelled, as it is at once if whoever closes is cancelled;
            its turn comes again when its lease ends.
        """
        self._closing = True
        self._wake.set()
        try:
            end = time.monotonic() + timeout
            await asyncio.wait([self._loop], timeout=timeout + GRACE)  # the store may be slow
            while self._running and (left_seconds := end - time.monotonic()) > 0:
                await asyncio.wait(self._running, timeout=min(left_seconds, self._lease / 3))
                with contextlib.suppress(StoreError):  # another replica may run it, then, as after a crash
                    await self._renew()
        finally:
            self._cancelling = True
            self._loop.cancel()
            left = list(self._running)
            for task in left:
                log.warning("handler %s did not finish in time and will run again", self._running[task].handler)
                task.cancel()
            _, stubborn = await asyncio.wait([self._loop, *left], timeout=GRACE)
            for task in stubborn:
                log.error("%s ignores that it was cancelled, and is left behind", task.get_name())

    async def _dispatch(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                await self._renew()
                await self._claim()
            except Exception as error:  # whatever it is, the next look may go well
                log.warning("cannot look for handlers' turns: %s", describe(error))
            alarm = asyncio.get_running_loop().call_later(self._interval, self._wake.set)
            await self._wake.wait()
            alarm.cancel()

    async def _claim(self) -> None:
        names, free = self._handlers.ready(), CONCURRENCY - len(self._running)
        if not names or free <= 0:
            return
        now = self._clock()
        for call in await self._store.claim_calls(names, now=now, lease_until=now + self._lease, limit=free):
            task = asyncio.create_task(self._run(call), name=f"ringback-handler {call.handler}")
            self._running[task] = call
            task.add_done_callback(self._finished)

    async def _renew(self) -> None:
        now = self._clock()
        if self._running and now - self._renewed >= self._lease / 3:
            await self._store.renew_calls(list(self._running.values()), lease_until=now + self._lease)
        elif self._running:
            return
        self._renewed = now

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()

    async def _run(self, call: HandlerCall) -> None:
        try:
            try:
                with handling(call.handler, call.completion.event):
                    await self._handlers.call(call.handler, call.completion)
            except (Exception, asyncio.CancelledError) as error:
                if self._cancelling and isinstance(error, asyncio.CancelledError):
                    raise
                # Otherwise it is the handler's own, as of a task that it awaits: a failure like any other.
                await self._note_failure(call, error)
            else:
                await self._store.finish_call(call, at=self._clock())
                self._handled(call.handler, "done")
        except StoreError as error:
            # Its lease ends, and its turn comes again: at least once.
            log.warning("cannot note what came of handler %s: %s", call.handler, error)

    async def _note_failure(self, call: HandlerCall, error: BaseException) -> None:
        """Put a turn back, or aside.

        :raises StoreError: that cannot be noted now.
        """
        delay = delay_after(
            error,
            attempts=call.attempts,
            max_attempts=self._handlers.max_attempts(call.handler),
            chance=self._chance(),
        )
        outcome: HandlerOutcome = "given_up" if delay is None else "failed"
        self._handled(call.handler, outcome)
        then = "given up" if delay is None else f"next in {delay:.0f} s"
        log_event(
            log,
            logging.ERROR,
            call.completion.event,
            f"handler_{outcome}",
            destination=self._destination,
            said=f"handler {shown(call.handler)} failed, attempt {call.attempts}; {then}",
            error=error,
        )
        if delay is None:
            await self._store.give_up_call(call, at=self._clock(), error=describe(error))
        else:
            await self._store.retry_call(call, due=self._clock() + delay, error=describe(error))
