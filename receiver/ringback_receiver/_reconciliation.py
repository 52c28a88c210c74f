"""How a receiver is set up to reconcile: whom it asks, when, and how Airflow calls itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from ringback_receiver._airflow import Airflow, RunFinder
from ringback_receiver._opened import Opened
from ringback_receiver._reconciler import Reconciler
from ringback_receiver._reconciling import check_schedule, first_check
from ringback_receiver._store import Store

__all__ = ["Reconciliation"]

log = logging.getLogger("ringback_receiver")

_MOST_SOURCES = 10


class Reconciliation:
    """The settings; with an empty schedule, or a client that cannot tell how runs are, nothing is reconciled.

    :param intervals: seconds from trigger to the first check, and from each to the next.
    :param source: ``None`` for the client's base URL.
    :raises ConfigurationError: an interval cannot be right.
    """

    def __init__(self, airflow: Airflow | None, intervals: Sequence[float], source: str | None) -> None:
        self._finder = airflow if isinstance(airflow, RunFinder) else None
        schedule = check_schedule(intervals)
        self._schedule = schedule if self._finder is not None else ()
        self._source = source or (self._finder.base_url if self._finder is not None else "")
        self._noticed = {self._source}

    def first_check(self, now: float, expected: float | timedelta | None) -> float | None:
        """Return when to ask about a run that is triggered now; ``None`` for never.

        :param expected: how long the run should take.
        :raises ValueError: it is not more than zero.
        """
        return first_check(now, self._schedule, expected)

    def start(self, opened: Opened, store: Store, *, callback_url: str, clock: Callable[[], float]) -> None:
        """Begin, if there is anything to be done."""
        if self._finder is not None and self._schedule:
            opened.reconcile(
                Reconciler(
                    store,
                    self._finder,
                    callback_url=callback_url,
                    schedule=self._schedule,
                    source=self._source,
                    clock=clock,
                    record=opened.record,
                    abandon=opened.abandon,
                )
            )

    def notice(self, source: str) -> None:
        """Say once that Airflow calls itself otherwise than we do: one ending would have two ids.

        :param source: of an event that is believed.
        """
        if self._schedule and source not in self._noticed and len(self._noticed) < _MOST_SOURCES:
            self._noticed.add(source)
            log.warning(
                "events come from %r, but what the reconciler finds is said to come from %r, and so a callback that "
                "comes after it is a revision, not a duplicate: give the receiver source=%r",
                source,
                self._source,
                source,
            )
