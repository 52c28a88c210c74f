"""How long Airflow waits before it retries the final task."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision

from ringback_notifier._retry import MAX_WAIT, RetryAfterPolicy
from ringback_notifier.errors import DeliveryError

POLICY = RetryAfterPolicy()


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (0.0, timedelta()),
        (7.5, timedelta(seconds=7.5)),
        (300.0, MAX_WAIT),
        (301.0, MAX_WAIT),
        (21_600.0, MAX_WAIT),
    ],
)
def test_the_receivers_wish_counts_up_to_five_minutes(asked: float, waits: timedelta) -> None:
    """The run stays unfinished while its final task waits, so a receiver cannot hold it for long."""
    decision = POLICY.evaluate(DeliveryError("x", retry_after=asked), 1, 4)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, waits)
    assert decision.reason == f"the receiver asked for {asked:.0f} s"


@pytest.mark.parametrize("error", [DeliveryError("x"), ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_otherwise_the_tasks_own_delays_hold(error: BaseException) -> None:
    """No wish, no policy."""
    assert POLICY.evaluate(error, 1, 4, context=None) == RetryDecision.default()
