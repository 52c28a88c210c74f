"""When an event is attempted again, and when no more.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ringback_notifier._policy import Decision, Delivered, GiveUp

__all__ = ["DELAYS", "WHOLE_SCHEDULE", "Dead", "Next", "RetryAt", "after_attempt"]

_MINUTE, _HOUR = 60.0, 3_600.0

DELAYS = (
    0.0,
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
"""Seconds before each attempt, counted from the one before (Standard Webhooks, "Retry schedule")."""

_SPREAD = 0.1

WHOLE_SCHEDULE = sum(DELAYS) * (1 + _SPREAD)
"""Seconds after which the last attempt has been made, were each made on time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryAt:
    """Attempt again at ``at`` Unix seconds."""

    at: float
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dead:
    """The schedule is exhausted: only a person can have it sent again."""

    why: str


Next = Delivered | GiveUp | RetryAt | Dead


def after_attempt(*, attempts: int, decision: Decision, now: float, jitter: float) -> Next:
    """Say what becomes of an event.

    :param attempts: made so far, this one included.
    :param decision: what the last one's outcome means.
    :param now: Unix seconds.
    :param jitter: from 0 to 1; a delay is shortened or lengthened by up to a tenth, so that events that
        failed together do not all come back together.
    """
    if isinstance(decision, Delivered | GiveUp):
        return decision
    if attempts >= len(DELAYS):
        return Dead(why=decision.why)
    delay = DELAYS[attempts] * (1 + _SPREAD * (2 * jitter - 1))
    return RetryAt(at=now + max(delay, decision.not_before or 0.0), why=decision.why)
