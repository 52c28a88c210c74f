"""What is told of an attempt, whoever made it: a line in the log, and Airflow's metrics.

The line is readable, and has fields for machines.  No body, no key, no header, and of a URL neither credentials nor
query.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from ringback_notifier import _metrics
from ringback_notifier._allow import redacted
from ringback_notifier._metric_names import DEAD, DELIVERED, FAILED, GONE, LATENCY, REFUSED
from ringback_notifier._policy import Decision, Delivered, GiveUp
from ringback_protocol.log_fields import log_fields

__all__ = ["Happened", "outcome_of", "tell"]

Happened = Literal["delivered", "failed", "gone", "dead", "refused"]
"""``failed``: this attempt; another follows, or a relay goes on."""

_COUNTED: dict[Happened, str] = {
    "delivered": DELIVERED,
    "failed": FAILED,
    "gone": GONE,
    "dead": DEAD,
    "refused": REFUSED,
}
_SAID: dict[Happened, str] = {
    "delivered": "delivered",
    "failed": "not delivered,",
    "gone": "not delivered,",
    "dead": "given up: not delivered,",
    "refused": "refused:",
}


def outcome_of(decision: Decision) -> Happened:
    """Return what an attempt has come to, short of a schedule that is exhausted."""
    return "delivered" if isinstance(decision, Delivered) else "gone" if isinstance(decision, GiveUp) else "failed"


def tell(
    log: Any,
    level: int,
    happened: Happened,
    *,
    event_id: str,
    dag_id: str,
    run_id: str,
    destination: str,
    sender: str,
    url: str,
    why: str,
    ended_at: float | None = None,
    now: float = 0.0,
    is_known: bool = True,
) -> None:
    """Tell what has happened to an event.

    :param log: of the standard library, or structlog's, which Airflow's tasks have.
    :param sender: ``task``, ``callback`` or ``relay``.
    :param why: what to say besides.
    :param ended_at: when the run ended, Unix seconds, if that is known and it is delivered.
    :param now: Unix seconds.
    :param is_known: whether there is such a destination: a caller may name any, and each would be a metric of its own.
    """
    tag = destination if is_known else "unknown"
    _metrics.count(_COUNTED[happened], destination=tag, sender=sender)
    if happened == "delivered" and ended_at is not None:
        _metrics.timing(LATENCY, max(now - ended_at, 0.0), destination=tag, sender=sender)
    if isinstance(log, logging.Logger) and not log.isEnabledFor(level):
        return
    fields = log_fields(event_id=event_id, dag_id=dag_id, run_id=run_id, destination=destination, outcome=happened)
    line = (
        f"ringback: {_SAID[happened]} event {fields['event_id']} to {redacted(url)}: {why} "
        f"(run {fields['run_id']} of DAG {fields['dag_id']}, destination {fields['destination']}, by the {sender})"
    )
    if not line.isprintable():  # a library's error may quote what a server said
        line = "".join(char if char.isprintable() else "·" for char in line)
    if isinstance(log, logging.Logger):
        log.log(level, "%s", line, extra=fields)
    else:
        getattr(log, logging.getLevelName(level).lower())(line, **fields)
