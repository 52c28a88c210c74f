"""Until when a request is waited for."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from ringback_receiver._store import Store
from ringback_receiver._waiters import Waiters

__all__ = ["LOOK_INTERVAL", "Deadlines", "deadline_of", "seconds_of"]

LOOK_INTERVAL = 1.0
"""Seconds between two looks for requests whose deadline has passed."""
_AT_ONCE = 500


def seconds_of(duration: float | timedelta, name: str) -> float:
    """Return a duration in seconds.

    :param name: of the argument, for the error.
    :raises ValueError: it is not more than zero, or endless.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"{name} must be more than 0 seconds, and finite")
    return seconds


def deadline_of(deadline: float | timedelta | datetime | None, now: float) -> float | None:
    """Return a deadline in Unix seconds.

    :param deadline: seconds from now, or a moment with a time zone, or ``None``.
    :raises ValueError: it has passed, or has no time zone.
    """
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        if deadline.utcoffset() is None:
            raise ValueError("deadline must have a time zone")
        if deadline.timestamp() <= now:
            raise ValueError("deadline has passed already")
        return deadline.timestamp()
    return now + seconds_of(deadline, "deadline")


class Deadlines:
    """Note which requests have expired, and tell who waits for them.

    :param clock: Unix seconds.
    """

    def __init__(self, store: Store, waiters: Waiters, clock: Callable[[], float]) -> None:
        self._store = store
        self._waiters = waiters
        self._clock = clock

    async def look(self) -> float:
        """Look once; return the seconds until the next look."""
        expired = await self._store.expire(now=self._clock(), limit=_AT_ONCE)
        self._waiters.hint(expired)
        return 0.0 if len(expired) == _AT_ONCE else LOOK_INTERVAL
