"""Something that a receiver does again and again while it is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ringback_receiver._handlers import describe

__all__ = ["Background"]

LONGEST_PAUSE = 30.0
"""Seconds between two steps of which the first failed."""

log = logging.getLogger("ringback_receiver")


class Background:
    """Take one step after the other, whatever happens to any of them.

    :param what: for the log.
    :param step: returns the seconds until the next one.
    :param after_failure: seconds until the next one if it raises; doubled each time, up to half a minute.
    """

    def __init__(self, what: str, step: Callable[[], Awaitable[float]], *, after_failure: float) -> None:
        self._what = what
        self._step = step
        self._after_failure = after_failure
        self._task = asyncio.create_task(self._go_on(), name=f"ringback: {what}")

    async def close(self) -> None:
        """Stop, wherever it is."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        failures = 0
        while True:
            try:
                pause = await self._step()
                failures = 0
            except Exception as error:  # whatever it is, the next step may go well
                log.warning("%s: %s", self._what, describe(error))
                pause = min(LONGEST_PAUSE, self._after_failure * 2.0 ** min(failures, 20))
                failures += 1
            await asyncio.sleep(pause)
