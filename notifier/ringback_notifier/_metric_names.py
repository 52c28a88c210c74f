"""The names of what the notifier counts, as Airflow's metrics call them; Airflow puts a prefix before them.  Pure."""

from __future__ import annotations

from typing import Final

__all__ = [
    "COUNTERS",
    "DEAD",
    "DELIVERED",
    "DEPTH",
    "FAILED",
    "GAUGES",
    "GONE",
    "HEARTBEAT",
    "LATENCY",
    "OLDEST_DUE",
    "REFUSED",
    "TIMINGS",
]

DELIVERED: Final = "ringback.delivered"
"""Events that their receivers have.  Tags: destination, sender."""
FAILED: Final = "ringback.failed"
"""Attempts that failed and are made again, perhaps by another sender.  Tags: destination, sender."""
GONE: Final = "ringback.gone"
"""Events that their receivers want no more.  Tags: destination, sender."""
DEAD: Final = "ringback.dead"
"""Events given up: the schedule is exhausted.  Tags: destination, sender; of those whose host was down, sender only."""
REFUSED: Final = "ringback.refused"
"""Refusals, for no allow-list covers the URL or the callback request is malformed; each sender that meets the event
refuses it.  Tags: destination, sender."""
LATENCY: Final = "ringback.latency"
"""From the end of the run to its delivery; the final task delivers before the end.  Tags: destination, sender."""
HEARTBEAT: Final = "ringback.relay.heartbeat"
"""Every relay, every ten seconds."""
DEPTH: Final = {place: f"ringback.outbox.{place}" for place in ("hint", "waiting", "dead", "refused")}
"""How many rows of the outbox are what, up to a hundred thousand; in the name, as plain StatsD has no tags."""
OLDEST_DUE: Final = "ringback.outbox.oldest_due_age"
"""For how many seconds the event that is due the longest has been due; 0 if none is."""

COUNTERS: Final = (DELIVERED, FAILED, GONE, DEAD, REFUSED, HEARTBEAT)
TIMINGS: Final = (LATENCY,)
GAUGES: Final = (*DEPTH.values(), OLDEST_DUE)
