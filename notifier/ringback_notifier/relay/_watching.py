"""Waking the relay as soon as somebody writes to the outbox; without it, the relay would look now and then."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._outage import Outage

__all__ = ["Watching"]

_PATIENCE = 0.25


class Watching:
    """A thread that watches the outbox.

    :param changed: called in the event loop.
    """

    def __init__(self, outbox: Outbox, changed: Callable[[], None]) -> None:
        self._outbox = outbox
        self._changed = changed
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="ringback-watch", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    async def stop(self, seconds: float) -> None:
        """Stop watching, and wait for the end of it for so many seconds at most."""
        self._stop.set()
        if self._thread.is_alive():
            # Not joined in one of the loop's own threads: they may all be taken.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)

    def _run(self) -> None:
        outage = Outage("the outbox cannot be watched")
        while not self._stop.is_set():
            try:
                self._watch(outage)
            except OutboxError as error:
                self._stop.wait(outage.failed(error))
            except Exception as error:
                self._stop.wait(outage.failed(error, unexpected=True))
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(self._ended.set)

    def _watch(self, outage: Outage) -> None:
        watch = self._outbox.watch()
        try:
            outage.over()
            while not self._stop.is_set():
                if watch.wait(_PATIENCE) and not self._stop.is_set():
                    self._loop.call_soon_threadsafe(self._changed)
        finally:
            watch.close()
