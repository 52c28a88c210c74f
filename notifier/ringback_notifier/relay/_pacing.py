"""When a hint is looked at again while Airflow's API does not yet show the run as ended.  Pure."""

from __future__ import annotations

__all__ = ["GIVEN_UP_AFTER", "next_look"]

FIRST_LOOK = 0.02
LONGEST_WAIT = 30.0
GIVEN_UP_AFTER = 600.0
"""Seconds after which a hint is dropped: should the run end after all, the sweep finds it."""


def next_look(looks: int, *, age: float) -> float | None:
    """Return the seconds until the next look, or ``None`` to give the hint up.

    The listener speaks before the scheduler commits, which takes milliseconds as a rule; hence the quick start.

    :param looks: made so far, at least one.
    :param age: of the hint, in seconds.
    """
    if age >= GIVEN_UP_AFTER:
        return None
    return min(FIRST_LOOK * 2.0 ** min(max(looks - 1, 0), 16), LONGEST_WAIT)
