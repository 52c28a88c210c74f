"""Something that does not answer: how long to leave it alone, and what to say about it once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from ringback_notifier.errors import NotifierError

__all__ = ["Outage"]

log = logging.getLogger(__name__)


class Outage:
    """Failures in a row of one thing, from the first until it works again.

    :param what: what fails, as the log shall name it.
    :param first: seconds of the first pause; it doubles up to ``longest``.
    :param jitter: gives numbers from 0 to 1; a pause is shortened by up to half.
    :param clock: monotonic, in seconds.
    """

    def __init__(
        self,
        what: str,
        *,
        first: float = 0.5,
        longest: float = 10.0,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._clock = clock
        self._failures = 0
        self._since = 0.0

    def failed(self, error: Exception, *, unexpected: bool = False) -> float:
        """Note a failure and return the seconds to pause; the log tells of the first only.

        :param unexpected: by the code, so that the log shows where it comes from.
        """
        if not self._failures:
            self._since = self._clock()
            said = _said(error)
            log.warning("ringback relay: %s: %s (trying on)", self._what, said, exc_info=error if unexpected else None)
        self._failures += 1
        pause = min(self._first * 2.0 ** min(self._failures - 1, 16), self._longest)
        return pause * (1 - self._jitter() / 2)

    def over(self) -> None:
        """Note that it works."""
        if self._failures:
            log.warning("ringback relay: %s: works again, after %.0f s", self._what, self._clock() - self._since)
            self._failures = 0


def _said(error: Exception) -> str:
    """Return what an error says; only ours say it in words that need no more."""
    if isinstance(error, NotifierError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
