"""Airflow's retry of the final task waits as long as the receiver asked (Task SDK ≥ 1.3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from ringback_notifier.errors import DeliveryError

__all__ = ["MAX_WAIT", "RetryAfterPolicy"]

MAX_WAIT = timedelta(minutes=1)


class RetryAfterPolicy(RetryPolicy):
    """Honour ``Retry-After``, bounded, because the run stays unfinished while its final task waits."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Return the receiver's delay if it named one, else leave it to the task's own."""
        if isinstance(exception, DeliveryError) and exception.retry_after is not None:
            delay = min(timedelta(seconds=exception.retry_after), MAX_WAIT)
            return RetryDecision.retry(delay=delay, reason=f"the receiver asked for {exception.retry_after:.0f} s")
        return RetryDecision.default()
