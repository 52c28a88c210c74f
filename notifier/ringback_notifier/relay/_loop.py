"""A loop of the relay: one step after the other, patient with whatever does not answer, until it has to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ringback_notifier.errors import NotifierError, OutboxError
from ringback_notifier.relay._errors import RelayApiError
from ringback_notifier.relay._outage import Outage
from ringback_notifier.relay._tally import Tally

__all__ = ["Wake", "keep_doing", "note"]


class Wake:
    """Something to wait for, with a limit."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake whoever waits, or the next who will."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait until woken, or for so many seconds."""
        if not self._event.is_set() and seconds > 0:
            loop = asyncio.get_running_loop()
            alarm = loop.call_later(seconds, self._event.set)
            try:
                await self._event.wait()
            finally:
                alarm.cancel()
        self._event.clear()


async def keep_doing(
    step: Callable[[], Awaitable[None]],
    *,
    what: str,
    tally: Tally,
    rest: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Take one step after the other for ever; after a failure pause, longer each time.

    :param step: without ``rest`` it waits by itself when there is nothing to do.
    :param what: what fails, as the log shall name it.
    :param rest: what comes between two steps that went well.
    """
    outage = Outage(what)
    while True:
        try:
            await step()
        except Exception as error:
            note(error, tally)
            tally.failed_at.add(what)
            await asyncio.sleep(outage.failed(error, unexpected=not isinstance(error, NotifierError)))
        else:
            outage.over()
            tally.succeeded_at.add(what)
            if rest is not None:
                await rest()


def note(error: Exception, tally: Tally) -> None:
    """Count a failure."""
    tally.last_error = str(error) or type(error).__name__
    if isinstance(error, RelayApiError):
        tally.api_errors += 1
    elif isinstance(error, OutboxError):
        tally.outbox_errors += 1
