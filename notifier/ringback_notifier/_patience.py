"""How long the final task may go on: a run that is open when its DAG's timeout passes is failed by Airflow.

Source: ``airflow/jobs/scheduler_job_runner.py``, ``_schedule_dag_run``: teardowns are no exception.
"""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["longest_delay", "may_try_again", "seconds_left"]

_SLACK = 5.0
"""Seconds that Airflow may take to start a task that is due, and to close the run."""


def seconds_left(start_date: datetime | None, dagrun_timeout: timedelta | None, now: datetime) -> float:
    """Return the seconds until the run's timeout; infinity without one.

    :param start_date: of the run, aware.
    :param now: aware.
    """
    if start_date is None or dagrun_timeout is None:
        return float("inf")
    return (start_date + dagrun_timeout - now).total_seconds()


def longest_delay(*, retry_delay: timedelta, max_retry_delay: timedelta | float | None, attempts: int) -> float:
    """Return the most seconds that Airflow waits after so many attempts.

    Source: ``airflow/models/taskinstance.py``, ``next_retry_datetime``: doubling, and up to twice that.
    """
    delay = retry_delay.total_seconds() * 2.0**attempts
    if max_retry_delay is None:
        return delay
    highest = max_retry_delay.total_seconds() if isinstance(max_retry_delay, timedelta) else max_retry_delay
    return min(delay, highest)


def may_try_again(left: float, *, delay: float, timeout: float) -> bool:
    """Tell whether one more attempt, made after ``delay`` and taking ``timeout``, ends before the run's timeout.

    :param left: seconds until that timeout.
    """
    return delay + timeout + _SLACK < left
