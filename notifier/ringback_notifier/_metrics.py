"""Telling Airflow's metrics what became of events, where Airflow has metrics switched on.

Whatever Airflow sends them with (StatsD, Datadog, OpenTelemetry, a client of somebody's own), nobody waits for it: a
daemon thread hands them over ten times a second, counts added up.  Nothing here raises.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

__all__ = ["aflush", "count", "flush", "gauge", "is_on", "timing"]

log = logging.getLogger(__name__)

_TOGETHER = 0.1
"""Seconds for which things are gathered: a relay delivers thousands in a second."""
_MOST_TIMINGS = 50
"""Of one kind, that are handed over at once; of more than that, the first are the sample."""
_FLUSH_SECONDS = 0.5
_LOOK = 0.02

_What = tuple[str, tuple[tuple[str, str], ...]]
"""A name and its tags."""


def count(name: str, number: int = 1, **tags: str) -> None:
    """Count something that has happened ``number`` times."""

    def change(batch: _Batch) -> None:
        batch.counts[name, tuple(tags.items())] += number

    _gather(change)


def timing(name: str, seconds: float, **tags: str) -> None:
    """Note how long something took."""

    def change(batch: _Batch) -> None:
        known = batch.timings[name, tuple(tags.items())]
        if len(known) < _MOST_TIMINGS:
            known.append(seconds)

    _gather(change)


def gauge(name: str, value: float) -> None:
    """Note how much there is of something."""

    def change(batch: _Batch) -> None:
        batch.gauges[name] = value

    _gather(change)


def is_on() -> bool:
    """Tell whether this is a process of Airflow's whose metrics go anywhere."""
    if "airflow" not in sys.modules:
        return False
    if _COURIER.is_on is None:  # asked once: reading Airflow's configuration takes longer than all the rest
        _COURIER.is_on = _is_switched_on()
    return _COURIER.is_on


def flush() -> None:
    """Wait for at most half a second until all is handed over: the process may end now.

    Once that was too short nobody waits again, until what was waited for has been handed over.
    """
    courier = _COURIER
    if courier.is_worth_waiting_for() and not (done := courier.hurry()).wait(_FLUSH_SECONDS):
        courier.late = done


async def aflush() -> None:
    """Wait for the same as :func:`flush`, in an event loop, whose threads may all be taken."""
    courier = _COURIER
    if not courier.is_worth_waiting_for():
        return
    done, end = courier.hurry(), time.monotonic() + _FLUSH_SECONDS
    while not done.is_set() and time.monotonic() < end:  # noqa: ASYNC110 - it is set by a thread
        await asyncio.sleep(_LOOK)
    if not done.is_set():
        courier.late = done


def _gather(change: Callable[[_Batch], None]) -> None:
    courier = _COURIER
    try:
        if is_on():
            courier.gather(change)
    except Exception as error:  # no thread can be started, say: an event is worth more than its count
        courier.complain(error)


def _is_switched_on() -> bool:
    try:
        from ringback_notifier._compat import airflow_conf

        conf = airflow_conf()
        options = ("statsd_on", "otel_on", "statsd_datadog_enabled")
        return any(conf.getboolean("metrics", option, fallback=False) for option in options)
    except Exception:  # a configuration that cannot be read is somebody else's to complain of
        return False


class _Batch:
    """What is handed over at once."""

    def __init__(self) -> None:
        self.counts: dict[_What, int] = defaultdict(int)
        self.timings: dict[_What, list[float]] = defaultdict(list)
        self.gauges: dict[str, float] = {}

    def hand_over(self, stats: Any) -> None:
        """Tell Airflow's metrics."""
        for (name, tags), number in self.counts.items():
            stats.incr(name, number, tags=dict(tags))
        for (name, tags), known in self.timings.items():
            for seconds in known:
                stats.timing(name, timedelta(seconds=seconds), tags=dict(tags))
        for name, value in self.gauges.items():
            stats.gauge(name, value)


class _Courier:
    """Gathers, and hands over in a thread of its own; a process forked from this one has another."""

    def __init__(self) -> None:
        self.is_on: bool | None = None
        self.is_needed = False
        """Whether there is a thread, as there is once anything was gathered."""
        self.late: threading.Event | None = None
        """Set when that is handed over which somebody has waited for in vain."""
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._batch = _Batch()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._handed_over: list[threading.Event] = []
        self._quiet_until = 0.0

    def gather(self, change: Callable[[_Batch], None]) -> None:
        """Change what is gathered.

        :raises RuntimeError: if the thread cannot be started; the next change tries again.
        """
        with self._lock:
            change(self._batch)
        if not self.is_needed:
            self._start()  # without that lock: whoever flushes must not wait for it
        self._wake.set()

    def is_worth_waiting_for(self) -> bool:
        """Tell whether there is a thread, and it is not stuck, as far as anybody knows."""
        return self.is_needed and (self.late is None or self.late.is_set())

    def hurry(self) -> threading.Event:
        """Have all handed over at once; what is returned is set when it is."""
        done = threading.Event()
        with self._lock:
            self._handed_over.append(done)
        self._hurry.set()
        self._wake.set()
        return done

    def complain(self, error: Exception) -> None:
        """Say once a minute that something is wrong with them."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + 60
            log.warning("ringback: Airflow's metrics cannot be told: %s", type(error).__name__)

    def _start(self) -> None:
        with self._starting:
            if not self.is_needed:
                threading.Thread(target=self._go_on, name="ringback-metrics", daemon=True).start()
                self.is_needed = True

    def _go_on(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(_TOGETHER)
            with self._lock:
                self._wake.clear()
                self._hurry.clear()
                batch, self._batch = self._batch, _Batch()
                handed_over, self._handed_over = self._handed_over, []
            try:
                from ringback_notifier._compat import airflow_stats

                batch.hand_over(airflow_stats())
            except Exception as error:
                self.complain(error)
            for done in handed_over:
                done.set()


_COURIER = _Courier()


def _renew() -> None:
    """Have another one in a forked process: the thread, and whoever held the lock, are not there."""
    global _COURIER
    _COURIER = _Courier()


os.register_at_fork(after_in_child=_renew)
