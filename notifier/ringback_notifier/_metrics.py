"""Telling Airflow's metrics what became of events, where Airflow has metrics switched on.

Whatever Airflow sends them with (StatsD, Datadog, OpenTelemetry, a client of somebody's own), nobody waits for it: a
daemon thread hands them over, and what it cannot keep up with is dropped.  Nothing here raises.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

__all__ = ["count", "flush", "gauge", "is_on", "timing"]

log = logging.getLogger(__name__)

_MOST = 10_000
"""What may wait to be handed over."""
_FLUSH_SECONDS = 0.5

_Told = Callable[[Any], None] | threading.Event


def count(name: str, number: int = 1, **tags: str) -> None:
    """Count something that has happened ``number`` times."""
    _tell(lambda stats: stats.incr(name, number, tags=tags))


def timing(name: str, seconds: float, **tags: str) -> None:
    """Note how long something took."""
    _tell(lambda stats: stats.timing(name, timedelta(seconds=seconds), tags=tags))


def gauge(name: str, value: float) -> None:
    """Note how much there is of something."""
    _tell(lambda stats: stats.gauge(name, value))


def is_on() -> bool:
    """Tell whether this is a process of Airflow's whose metrics go anywhere."""
    if "airflow" not in sys.modules:
        return False
    try:
        from ringback_notifier._compat import airflow_conf

        conf = airflow_conf()
        return any(conf.getboolean("metrics", f"{kind}_on", fallback=False) for kind in ("statsd", "otel")) or bool(
            conf.getboolean("metrics", "statsd_datadog_enabled", fallback=False)
        )
    except Exception:  # a configuration that cannot be read is somebody else's to complain of
        return False


def flush() -> None:
    """Wait for at most half a second until all is handed over: the process may end now."""
    if _COURIER.is_needed():
        done = threading.Event()
        _COURIER.take(done)
        done.wait(_FLUSH_SECONDS)


def _tell(told: Callable[[Any], None]) -> None:
    if is_on():
        _COURIER.take(told)


class _Courier:
    """Hands over what it is given, in a thread of its own; a process forked from this one starts another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Told] = SimpleQueue()
        self._process = 0
        self._quiet_until = 0.0

    def is_needed(self) -> bool:
        """Tell whether anything was ever given to it in this process."""
        return self._process == os.getpid()

    def take(self, told: _Told) -> None:
        if self._process != os.getpid():
            self._start()
        if self._queue.qsize() < _MOST:
            self._queue.put(told)

    def _start(self) -> None:
        with self._lock:
            if self._process == os.getpid():
                return
            self._queue = SimpleQueue()
            threading.Thread(target=self._deliver, args=(self._queue,), name="ringback-metrics", daemon=True).start()
            self._process = os.getpid()

    def _deliver(self, queue: SimpleQueue[_Told]) -> None:
        while True:
            told = queue.get()
            if isinstance(told, threading.Event):
                told.set()
                continue
            try:
                from ringback_notifier._compat import airflow_stats

                told(airflow_stats())
            except Exception as error:
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say once a minute that something is wrong with them."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + 60
            log.warning("ringback: Airflow's metrics cannot be told: %s", type(error).__name__)


_COURIER = _Courier()


def _renew() -> None:
    """Have a lock of its own in a forked process: the thread that held this one is not there."""
    _COURIER._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)
