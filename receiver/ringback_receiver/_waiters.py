"""Who waits in this process: woken at once by what happens here, and soon by what happens elsewhere.

A future, and what a store hears from other processes, is only the fast path.  The truth is the store, and one poll
for all waiters reads it, so that a completion whose wake-up was lost is found within a poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable, Sequence

from ringback_receiver._store import Store, Tracked
from ringback_receiver.errors import CompletionTimeout, ReceiverNotOpen, UnknownRequest

__all__ = ["POLL_INTERVAL", "Waiters", "Waiting"]

POLL_INTERVAL = 0.5
"""Seconds between two looks at the store, while anybody waits."""

log = logging.getLogger("ringback_receiver")


class Waiters:
    """Futures by request id.

    :param poll_interval: in seconds.
    """

    def __init__(self, store: Store, *, poll_interval: float = POLL_INTERVAL) -> None:
        self._store = store
        self._interval = poll_interval
        # Mostly one waits for a request; a set for each would take as much as all the rest.
        self._futures: dict[str, Waiting | tuple[Waiting, ...]] = {}
        self._poll: asyncio.Task[None] | None = None
        self._hinted: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        store.watch(self.hint)

    async def wait(self, request_id: str, *, timeout: float | None) -> Waiting:
        """Return a future: the request once it is no longer pending.

        Thousands may wait, so it is all that is kept of each.

        :param timeout: in seconds; ``None`` waits for ever.
        :raises UnknownRequest: there is none.
        :raises ReceiverNotOpen: it is still pending, and the receiver closed; the future may raise it, too.
        :raises CompletionTimeout: by the future: it was still pending.
        """
        future = Waiting(self, request_id)
        self._remember(future)
        try:
            # Looked up after the future is in place: nothing can happen unseen in between.
            await self._look_first(future)
        except BaseException:
            future.cancel()
            raise
        if timeout is not None and not future.done():
            future.alarm = future.get_loop().call_later(timeout, future.give_up, timeout)
        return future

    def settle(self, tracked: Tracked) -> None:
        """Wake everybody who waits for this request."""
        for future in self._of(tracked.request.request_id):
            future.finish(tracked)

    def hint(self, request_ids: Collection[str] | None) -> None:
        """Look soon: these requests have been settled, mostly by another process, or some that nobody can name."""
        wanted = self._futures.keys()
        self._hinted |= wanted if request_ids is None else wanted & set(request_ids)
        if self._hinted and not self._closed and self._looking is None:
            self._looking = asyncio.create_task(self._look_for_hinted(), name="ringback-hints")

    async def close(self) -> None:
        """Stop looking; whoever still waits gets :class:`ReceiverNotOpen`."""
        self._closed = True
        for request_id in list(self._futures):
            for future in self._of(request_id):
                future.finish(ReceiverNotOpen())
        looking = [task for task in (self._poll, self._looking) if task is not None]
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)
        self._poll = None

    def forget(self, future: Waiting) -> None:
        """Note that this one waits no more."""
        others = tuple(other for other in self._of(future.request_id) if other is not future)
        if others:
            self._futures[future.request_id] = others
        else:
            self._futures.pop(future.request_id, None)

    def _of(self, request_id: str) -> Sequence[Waiting]:
        kept = self._futures.get(request_id, ())
        return kept if isinstance(kept, tuple) else (kept,)

    def _remember(self, future: Waiting) -> None:
        others = self._of(future.request_id)
        self._futures[future.request_id] = (*others, future) if others else future

    async def _look_first(self, future: Waiting) -> None:
        request_id = future.request_id
        tracked = (await self._store.look_up([request_id])).get(request_id)
        if tracked is None:
            raise UnknownRequest(f"no request {request_id!r} is known here", request_id=request_id)
        if tracked.settled:
            future.finish(tracked)
        elif self._closed and not future.done():
            raise ReceiverNotOpen
        elif self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._keep_looking(), name="ringback-poll")

    async def _keep_looking(self) -> None:
        marker: Hashable = None
        while True:
            await asyncio.sleep(self._interval)
            if not self._futures:
                return
            try:
                marker = await self._look(marker)
            except Exception as error:  # whatever it is, the next look may go well
                log.warning("cannot look for completions: %s: %s", type(error).__name__, error)

    async def _look(self, marker: Hashable) -> Hashable:
        # Taken before looking, so that whatever changes meanwhile is seen by the next look.
        latest = await self._store.change_marker()
        if latest != marker:
            await self._settle_all(list(self._futures))
        return latest

    async def _look_for_hinted(self) -> None:
        try:
            while self._hinted:
                hinted, self._hinted = self._hinted, set()
                await self._settle_all(list(hinted))
        except Exception as error:  # the poll comes anyway
            log.debug("cannot look for what was hinted: %s: %s", type(error).__name__, error)
        finally:
            self._looking = None

    async def _settle_all(self, request_ids: Sequence[str]) -> None:
        for tracked in (await self._store.settled(request_ids)).values():
            self.settle(tracked)


class Waiting(asyncio.Future[Tracked]):
    """One who waits.  Its end, whatever it is, takes it off the list: no callback is needed for that, and no coroutine.

    :param request_id: of the request.
    """

    __slots__ = ("alarm", "request_id", "waiters")

    def __init__(self, waiters: Waiters, request_id: str) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.waiters = waiters
        self.request_id = request_id
        self.alarm: asyncio.TimerHandle | None = None

    def finish(self, outcome: Tracked | Exception) -> None:
        """End it, if it has not ended."""
        if self.done():
            return
        self._leave()
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)

    def give_up(self, timeout: float) -> None:
        """End it: the time is over."""
        said = f"request {self.request_id} was still pending after {timeout} s"
        self.finish(CompletionTimeout(said, request_id=self.request_id))

    def cancel(self, msg: object = None) -> bool:
        """End it: whoever waited gives up."""
        self._leave()
        return super().cancel(msg)

    def _leave(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        self.waiters.forget(self)
