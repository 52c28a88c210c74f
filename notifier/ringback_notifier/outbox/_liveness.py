"""Whether a relay is alive, as its sign of life in the outbox tells.  Pure."""

from __future__ import annotations

import json

from ringback_notifier.outbox._rows import Duty

__all__ = ["relay_is_alive"]

_BETWEEN_RUNS = 180.0
"""Seconds after whose beginning the run of a relay that is a task has surely been followed by the next."""


def relay_is_alive(duty: Duty, now: float) -> bool:
    """Say whether a relay is at work, or will be within a minute because a DAG starts it again and again.

    :param duty: its sign of life, one of :meth:`Outbox.duties("relay/") <ringback_notifier.outbox.Outbox.duties>`;
        what is written in it need not make sense.
    :param now: Unix seconds.
    """
    if duty.until > now:
        return True
    try:
        said = json.loads(duty.value or "{}")
        return bool(said["kind"] == "dag" and float(said["since"]) > now - _BETWEEN_RUNS)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return False
