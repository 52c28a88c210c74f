"""Attempts within a budget: when to send, when to pause, when to stop.

A plain generator that says what to do and is told what came of it; a synchronous and an asynchronous
driver both run it, so the logic exists once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from ringback_notifier._policy import Decision, Outcome, Retry, decide

__all__ = ["Pause", "Send", "Tried", "attempts"]

_FIRST_PAUSE = 0.5
_SHORTEST_ATTEMPT = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Make one attempt within so many seconds, and send its outcome into the generator."""

    timeout: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """An attempt that was made.

    :param at: when it began, Unix seconds.
    :param duration: in seconds.
    """

    at: float
    duration: float
    outcome: Outcome


def attempts(
    *, budget: float, timeout: float, clock: Callable[[], float], jitter: Callable[[], float]
) -> Generator[Send | Pause, Outcome | None, Decision]:
    """Attempt until delivered, until the receiver says stop, or until the budget does not allow one more.

    :param budget: seconds for everything.
    :param timeout: seconds for one attempt.
    :param clock: monotonic, in seconds.
    :param jitter: gives numbers from 0 to 1; pauses grow from half a second, doubling, up to half longer.
    :returns: the decision after the last attempt.
    """
    deadline = clock() + budget
    pause = _FIRST_PAUSE
    while True:
        outcome = yield Send(timeout=min(timeout, max(deadline - clock(), _SHORTEST_ATTEMPT)))
        assert outcome is not None, "an attempt has an outcome"
        decision = decide(outcome)
        if not isinstance(decision, Retry):
            return decision
        wait = max(pause * (1 + jitter() / 2), decision.not_before or 0.0)
        if clock() + wait + _SHORTEST_ATTEMPT > deadline:
            return decision
        yield Pause(seconds=wait)
        pause *= 2
