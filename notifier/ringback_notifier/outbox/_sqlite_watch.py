"""SQLite tells nobody, but it counts: ``PRAGMA data_version`` differs once another connection has committed."""

from __future__ import annotations

import threading
import time

from ringback_notifier.outbox._failures import translated
from ringback_notifier.outbox._sqlite import connect
from ringback_notifier.outbox._url import Place

__all__ = ["SqliteWatch"]

_INTERVAL = 0.025
"""Seconds between two looks; one costs some microseconds."""


class SqliteWatch:
    """A :class:`~ringback_notifier.outbox._watch.Watch` that looks, often, on a connection that never writes."""

    def __init__(self, place: Place, *, wait: float) -> None:
        self._place = place
        self._closed = threading.Event()
        self._using = threading.Lock()
        with translated(place):
            self._connection = connect(place.path, wait=wait)
            try:
                self._seen = self._version()
            except BaseException:
                self._connection.close()
                raise

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            if self._changed():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._closed.wait(min(_INTERVAL, remaining))
        return False

    def close(self) -> None:
        self._closed.set()
        with self._using:
            self._connection.close()

    def _changed(self) -> bool:
        with self._using, translated(self._place):
            if self._closed.is_set():
                return False
            seen, self._seen = self._seen, self._version()
        return seen != self._seen

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
