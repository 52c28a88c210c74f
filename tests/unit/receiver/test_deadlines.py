"""Until when a request is waited for."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ringback_receiver._deadlines import deadline_of

NOW = datetime(2026, 7, 2, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("deadline", "seconds"),
    [(None, None), (90, 90.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (NOW + timedelta(hours=1), 3_600.0)],
)
def test_deadline_is_seconds_or_a_moment(deadline: Any, seconds: float | None) -> None:
    """Either becomes Unix seconds."""
    now = NOW.timestamp()
    assert deadline_of(deadline, now) == (None if seconds is None else now + seconds)


@pytest.mark.parametrize(
    ("deadline", "problem"),
    [
        (0, "more than 0"),
        (-1.0, "more than 0"),
        (math.inf, "finite"),
        (math.nan, "finite"),
        (timedelta(0), "more than 0"),
        (NOW, "has passed"),
        (NOW.replace(tzinfo=None), "time zone"),
    ],
)
def test_impossible_deadline_is_refused(deadline: Any, problem: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=problem):
        deadline_of(deadline, NOW.timestamp())
