"""When the relay attempts again, and when no more."""

from __future__ import annotations

import pytest

from ringback_notifier._policy import Delivered, GiveUp, Retry
from ringback_notifier.relay._schedule import DELAYS, WHOLE_SCHEDULE, Dead, RetryAt, after_attempt

NOW = 1_000_000.0
RETRY = Retry(why="status 500")


@pytest.mark.parametrize("attempts", range(1, 10))
def test_each_failure_waits_for_the_next_delay(attempts: int) -> None:
    """After the n-th attempt comes the n-th delay, counted from now."""
    then = after_attempt(attempts=attempts, decision=RETRY, now=NOW, jitter=0.5)
    assert then == RetryAt(at=NOW + DELAYS[attempts], why="status 500")


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.9), (1.0, 1.1)])
def test_jitter_spreads_by_a_tenth(jitter: float, share: float) -> None:
    """Events that failed together come back up to a tenth sooner or later."""
    then = after_attempt(attempts=3, decision=RETRY, now=0.0, jitter=jitter)
    assert isinstance(then, RetryAt)
    assert then.at == pytest.approx(1_800 * share)


def test_the_tenth_failure_is_the_last() -> None:
    """There are ten attempts, and no eleventh."""
    assert len(DELAYS) == 10
    assert after_attempt(attempts=10, decision=RETRY, now=NOW, jitter=0.5) == Dead(why="status 500")


def test_more_attempts_than_the_schedule_has_are_dead_too() -> None:
    """A row that was attempted too often, however that came, is not attempted for ever."""
    assert isinstance(after_attempt(attempts=99, decision=RETRY, now=NOW, jitter=0.5), Dead)


def test_retry_after_is_a_lower_bound() -> None:
    """A receiver that asks for an hour is given an hour, though five seconds were due."""
    patient = Retry(why="status 429", not_before=3_600.0)
    assert after_attempt(attempts=1, decision=patient, now=NOW, jitter=0.5) == RetryAt(at=NOW + 3_600, why="status 429")


def test_a_short_retry_after_does_not_hurry_the_schedule() -> None:
    """A receiver that asks for a second does not get the event sooner than the schedule says."""
    hasty = Retry(why="status 503", not_before=1.0)
    assert after_attempt(attempts=2, decision=hasty, now=0.0, jitter=0.5) == RetryAt(at=300.0, why="status 503")


@pytest.mark.parametrize("decision", [Delivered(status=204), GiveUp(why="status 410")])
def test_what_is_settled_stays_settled(decision: Delivered | GiveUp) -> None:
    """A delivery and a refusal for good end the schedule, whichever attempt it was."""
    assert after_attempt(attempts=10, decision=decision, now=NOW, jitter=0.5) == decision


def test_the_schedule_is_one_of_days() -> None:
    """All of it takes about three days, and never more than the bound that is used to expire events."""
    assert 3 * 86_400 < sum(DELAYS) < WHOLE_SCHEDULE < 4 * 86_400
