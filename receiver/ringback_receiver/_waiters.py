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

__all__ = ["POLL_INTERVAL", "Waiters"]

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
        self._futures: dict[str, set[asyncio.Future[Tracked]]] = {}
        self._poll: asyncio.Task[None] | None = None
        self._hinted: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        store.watch(self.hint)

    async def wait(self, request_id: str, *, timeout: float | None) -> Tracked:
        """Return the request once it is no longer pending.

        :param timeout: in seconds; ``None`` waits for ever.
        :raises UnknownRequest: there is none.
        :raises CompletionTimeout: it was still pending.
        :raises ReceiverNotOpen: it was still pending when the receiver closed.
        """
        future: asyncio.Future[Tracked] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(request_id, set()).add(future)
        try:
            # Looked up after the future is in place: nothing can happen unseen in between.
            tracked = (await self._store.look_up([request_id])).get(request_id)
            if tracked is None:
                raise UnknownRequest(f"no request {request_id!r} is known here", request_id=request_id)
            if tracked.settled:
                return tracked
            if self._closed:
                raise ReceiverNotOpen
            if self._poll is None or self._poll.done():
                self._poll = asyncio.create_task(self._keep_looking(), name="ringback-poll")
            await asyncio.wait([future], timeout=timeout)
            if not future.done():
                raise CompletionTimeout(
                    f"request {request_id} was still pending after {timeout} s", request_id=request_id
                )
            return future.result()
        finally:
            self._forget(request_id, future)

    def settle(self, tracked: Tracked) -> None:
        """Wake everybody who waits for this request."""
        for future in self._futures.get(tracked.request.request_id, ()):
            if not future.done():
                future.set_result(tracked)

    def hint(self, request_ids: Collection[str] | None) -> None:
        """Look soon: another process has settled these requests, or some that nobody can name."""
        wanted = self._futures.keys()
        self._hinted |= wanted if request_ids is None else wanted & set(request_ids)
        if self._hinted and not self._closed and self._looking is None:
            self._looking = asyncio.create_task(self._look_for_hinted(), name="ringback-hints")

    async def close(self) -> None:
        """Stop looking; whoever still waits gets :class:`ReceiverNotOpen`."""
        self._closed = True
        for futures in self._futures.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ReceiverNotOpen())
        looking = [task for task in (self._poll, self._looking) if task is not None]
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)
        self._poll = None

    def _forget(self, request_id: str, future: asyncio.Future[Tracked]) -> None:
        future.cancel()
        futures = self._futures[request_id]
        futures.discard(future)
        if not futures:
            del self._futures[request_id]

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
