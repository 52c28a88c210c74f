"""Looking now and then at what is not over, for whoever counts.

Nobody's scrape asks the store: it is looked at on our own time, through indexes that hold nothing else, and no
further than a hundred thousand rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ringback_receiver._observer import Observer
from ringback_receiver._store import Store

__all__ = ["INTERVAL", "MOST", "Counting"]

INTERVAL = 10.0
"""Seconds between two looks."""
MOST = 100_000
"""How far anything is counted."""
_SHARE = 50.0
"""A look that takes long is followed by a pause so many times as long."""


class Counting:
    """Count what waits, here and in the store.

    :param limit: how many events may wait for the store in this process.
    :param clock: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        observer: Observer,
        *,
        limit: int,
        clock: Callable[[], float],
        interval: float = INTERVAL,
    ) -> None:
        self._store = store
        self._observer = observer
        self._limit = limit
        self._clock = clock
        self._interval = interval

    async def look(self) -> float:
        """Look once; return the seconds until the next look.

        :raises StoreError: the store cannot be read now.
        """
        self._observer.waiting(self._store.recording, self._limit)  # first: a store that stalls fills the queue
        started = time.monotonic()
        now = self._clock()
        self._observer.backlog(await self._store.backlog(now=now, most=MOST), now)
        return max(self._interval, _SHARE * (time.monotonic() - started))
