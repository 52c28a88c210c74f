"""PostgreSQL tells those who LISTEN."""

from __future__ import annotations

import threading
import time

from psycopg import sql

from ringback_notifier.outbox._failures import translated
from ringback_notifier.outbox._postgres import connect, within
from ringback_notifier.outbox._url import Place
from ringback_notifier.outbox._wake import CHANNEL

__all__ = ["PostgresWatch"]

_SLICE = 0.25
"""Seconds after which somebody who waits notices that the watch is closed."""


class PostgresWatch:
    """A :class:`~ringback_notifier.outbox._watch.Watch` that is told, on a connection of its own."""

    def __init__(self, place: Place, *, wait: float) -> None:
        self._place = place
        self._closed = threading.Event()
        self._using = threading.Lock()
        with translated(place), within(wait):
            self._connection = connect(place, wait=None)
            try:
                self._connection.autocommit = True
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            except BaseException:
                self._connection.close()
                raise

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            remaining = max(0.0, deadline - time.monotonic())
            if self._told(min(_SLICE, remaining)):
                return True
            if remaining <= _SLICE:
                return False
        return False

    def close(self) -> None:
        self._closed.set()
        with self._using:
            self._connection.close()

    def _told(self, timeout: float) -> bool:
        with self._using, translated(self._place):
            if self._closed.is_set():
                return False
            told = list(self._connection.notifies(timeout=timeout, stop_after=1))
            if told:  # what else came meanwhile is the same news
                for _ in self._connection.notifies(timeout=0):
                    pass
            return bool(told)
