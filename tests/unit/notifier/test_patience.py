"""How long the final task may go on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ringback_notifier._patience import longest_delay, may_try_again, seconds_left

NOW = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)


def test_without_a_timeout_there_is_all_the_time() -> None:
    """Most DAGs have none."""
    assert seconds_left(NOW, None, NOW) == float("inf")
    assert seconds_left(None, timedelta(minutes=1), NOW) == float("inf")


def test_the_timeout_counts_from_the_start_of_the_run() -> None:
    """It may also have passed already."""
    assert seconds_left(NOW - timedelta(minutes=9), timedelta(minutes=10), NOW) == 60
    assert seconds_left(NOW - timedelta(minutes=11), timedelta(minutes=10), NOW) == -60


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 120), (50, 120)])
@pytest.mark.parametrize("highest", [timedelta(seconds=120), 120.0])
def test_delays_double_up_to_the_highest(attempts: int, seconds: float, highest: timedelta | float) -> None:
    """What is counted with is the longest that Airflow's jitter makes of them."""
    assert longest_delay(retry_delay=timedelta(seconds=5), max_retry_delay=highest, attempts=attempts) == seconds


def test_a_delay_without_a_highest_has_none() -> None:
    """An author may take the limit away."""
    assert longest_delay(retry_delay=timedelta(seconds=5), max_retry_delay=None, attempts=6) == 320


@pytest.mark.parametrize(("left", "may"), [(26, True), (25, False), (-1, False), (float("inf"), True)])
def test_the_next_attempt_must_end_in_time(left: float, may: bool) -> None:
    """Delay, attempt and five seconds for Airflow itself have to fit."""
    assert may_try_again(left, delay=10, timeout=10) is may
