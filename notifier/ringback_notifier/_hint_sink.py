"""Writing hints into the outbox, or losing them: what cannot be written, the relay's sweep finds a little later."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ringback_notifier._hints import Seen, Seldom, hint_of

if TYPE_CHECKING:
    from ringback_notifier._report import Site
    from ringback_notifier.outbox import Hint, Outbox

__all__ = ["FILE_SECONDS", "OutboxOpener", "OutboxSink"]

log = logging.getLogger(__name__)

FILE_SECONDS = 0.4
"""How long a locked file is waited for: less than a fork waits for its turn."""
_SERVER_SECONDS = 2.0
_PURGE_SECONDS = 3_600.0
_PURGE_LIMIT = 5_000
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class OutboxOpener:
    """Opens the outbox that Airflow's configuration names."""

    def __init__(self) -> None:
        self.aside: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        """Entered while a server is waited for, which needs no lock that a fork must not find taken."""
        self._loaded = False

    def __call__(self) -> Outbox:
        """Open it.

        :raises OutboxError: if that fails.
        """
        from ringback_notifier._config import outbox_url
        from ringback_notifier.outbox import Outbox

        url = outbox_url()
        if url.startswith("sqlite:"):
            return Outbox.open(url, wait=FILE_SECONDS)
        with self.aside() if self._loaded else contextlib.nullcontext():
            outbox = Outbox.open(url, wait=_SERVER_SECONDS)
        self._loaded = True  # what the first one imported is there from now on
        return outbox


class OutboxSink:
    """Writes hints, all at hand in one transaction; opens the outbox when it is needed.  Used by one thread at a time.

    :param open_outbox: opens it, or raises.
    :param clock: monotonic, in seconds.
    """

    def __init__(self, open_outbox: Callable[[], Outbox], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._open = open_outbox
        self._clock = clock
        self._outbox: Outbox | None = None
        self._site: Site | None = None
        self._failures = 0
        self._not_before = float("-inf")
        self._lost = 0
        self._warning = Seldom(seconds=60.0)
        self._purging = Seldom(seconds=_PURGE_SECONDS)

    def write(self, batch: list[Seen], *, dropped: int = 0) -> None:
        """Write what the batch asks for, or lose it; never raise.

        :param dropped: how many others did not even get into the queue.
        """
        self._lost += dropped
        why: Exception | None = None
        at_stake = len(batch)  # until it is known who asks for something
        try:
            hints = self._hints(batch)
            at_stake = len(hints)
            if hints and self._clock() < self._not_before:
                self._lost += len(hints)
            elif hints:
                self._opened().add_hints(hints, now=time.time())
                self._failures = 0
        except Exception as error:
            why = error
            self._lost += at_stake
            self._failures += 1
            pause = min(_FIRST_PAUSE * 2.0 ** (self._failures - 1), _LONGEST_PAUSE)
            self._not_before = self._clock() + pause
            self.close()
        if self._lost and self._warning.again(self._clock()):
            self._say(why)

    def purge_is_due(self) -> bool:
        """Tell, once an hour, that it is time to purge: soon after something was written."""
        return self._outbox is not None and self._purging.again(self._clock())

    def purge(self) -> None:
        """Delete some of what was settled long ago, for there may be no relay that would; never raise."""
        from ringback_notifier import _config

        try:
            self._opened().purge(before=time.time() - _config.retention(), limit=_PURGE_LIMIT)
        except Exception:
            log.debug("ringback: the outbox was not purged", exc_info=True)

    def close(self) -> None:
        """Close the outbox; it is opened again when it is needed."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            with contextlib.suppress(Exception):
                outbox.close()

    def abandon(self) -> None:
        """Leave the connections to the process that this one was forked from; new ones are made when needed.

        Source: https://sqlite.org/howtocorrupt.html, section 2.6: not even closing them is safe.
        """
        if self._outbox is not None:
            self._outbox.forget()

    def _hints(self, batch: list[Seen]) -> list[Hint]:
        from ringback_notifier import _config

        if self._site is None:
            self._site = _config.site()
        grace = _config.callback_grace()
        return [hint for seen in batch if (hint := hint_of(seen, self._site, grace=grace)) is not None]

    def _opened(self) -> Outbox:
        if self._outbox is None:
            self._outbox = self._open()
        return self._outbox

    def _say(self, why: Exception | None) -> None:
        from ringback_notifier._recording import trouble

        lost, self._lost = self._lost, 0
        log.warning(
            "ringback: %d ended run(s) could not be noted in the outbox%s; the relay's sweep finds them",
            lost,
            f": {trouble(why)}" if why else "",
        )
        log.debug("ringback: not noted", exc_info=why)
