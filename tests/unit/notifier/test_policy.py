"""What to do after an attempt."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback_notifier._policy import (
    MAX_RETRY_AFTER,
    Answer,
    Delivered,
    GiveUp,
    NoAnswer,
    Retry,
    decide,
    retry_after_seconds,
)

NOW = datetime(2026, 7, 2, 0, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    """204 is recorded, 202 is parked, and other successes count too."""
    assert decide(Answer(status=status, retry_after=9.0, excerpt="thanks")) == Delivered(status=status)


@pytest.mark.parametrize("excerpt", ["", "cancelled"])
def test_410_gives_up(excerpt: str) -> None:
    """The caller cancelled his request, so no further attempt will help, whatever else the answer says."""
    decision = decide(Answer(status=410, retry_after=5.0, excerpt=excerpt))
    assert isinstance(decision, GiveUp)
    assert decision.why == "status 410" + (f": {excerpt}" if excerpt else "") + " (the caller no longer waits)"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_is_a_failure_that_says_so(status: int) -> None:
    """It is retried, because receivers get mended, and the reason tells the person who can mend it."""
    decision = decide(Answer(status=status, retry_after=5.0))
    assert isinstance(decision, Retry)
    assert "redirects are never followed" in decision.why
    assert decision.not_before is None


@pytest.mark.parametrize(
    "status", [100, 199, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 418, 422, 429, 500, 502, 503, 504, 599, 999]
)
def test_every_other_status_is_retried(status: int) -> None:
    """Keys, routes and outages get mended."""
    assert decide(Answer(status=status)) == Retry(why=f"status {status}")


def test_what_the_receiver_said_is_in_the_reason() -> None:
    """The log's reader sees the status and the start of the answer."""
    assert decide(Answer(status=401, excerpt="bad signature")) == Retry(why="status 401: bad signature")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 500, 502, 504, 302])
def test_retry_after_counts_on_429_and_503_only(status: int) -> None:
    """Elsewhere it has no such meaning."""
    decision = decide(Answer(status=status, retry_after=30.0))
    assert isinstance(decision, Retry)
    assert decision.not_before is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "waits"),
    [(0.0, 0.0), (-5.0, 0.0), (7.5, 7.5), (MAX_RETRY_AFTER, MAX_RETRY_AFTER), (1e12, MAX_RETRY_AFTER), (None, None)],
)
def test_retry_after_is_bounded(status: int, asked: float | None, waits: float | None) -> None:
    """A receiver cannot put an event off for more than six hours, or into the past."""
    assert decide(Answer(status=status, retry_after=asked)) == Retry(why=f"status {status}", not_before=waits)


def test_no_answer_is_retried() -> None:
    """A timeout or a refused connection may be over next time."""
    assert decide(NoAnswer(error="timeout: deadline passed")) == Retry(why="timeout: deadline passed")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("007", 7.0),
        (" 7 ", 7.0),
        ("999999999", 999_999_999.0),
        ("9" * 10, MAX_RETRY_AFTER),
        ("9" * 5_000, MAX_RETRY_AFTER),
        ("Thu, 02 Jul 2026 00:01:30 GMT", 90.0),
        ("Thu, 02 Jul 2026 02:01:30 +0200", 90.0),
        ("Thu, 02 Jul 2026 00:01:30 -0000", 90.0),
        ("Thursday, 02-Jul-26 00:01:30 GMT", 90.0),
        ("Wed, 01 Jul 2026 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str, seconds: float) -> None:
    """Both forms of RFC 9110 are read; a date in the past means now, an absurd number is cut."""
    assert retry_after_seconds(header, now=NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "1_000",
        "soon",
        "7 seconds",
        "\u0667",  # an Arabic-Indic seven
        "\uff17",  # a full-width seven
        "\u00b2",  # a superscript two, which str.isdigit accepts and float does not
        "\u096d",
        "nan",
        "inf",
        "Thu, 99 Jul 2026 00:01:30 GMT",
        "Thu, 02 Jul 99999 00:01:30 GMT",
        "Thu, 02 Jul 2026 99:01:30 GMT",
        "Thu, 02 Jul 2026 00:01:30 +999999",
        "GMT",
        ",",
        "\x00",
    ],
)
def test_a_retry_after_that_is_neither_counts_as_absent(header: str | None) -> None:
    """Garbage never raises and never delays."""
    assert retry_after_seconds(header, now=NOW) is None


@given(st.text(max_size=60))
@example("Thu, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_retry_after_gives_a_delay_or_nothing(header: str) -> None:
    """Whatever a receiver sends, reading it never raises, and what it asks for is never negative."""
    seconds = retry_after_seconds(header, now=NOW)
    assert seconds is None or seconds >= 0


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1)))
def test_every_http_date_is_understood(moment: datetime) -> None:
    """A date that is written as the RFC says is read as the time until then."""
    moment = moment.replace(tzinfo=timezone.utc, microsecond=0)
    expected = max(moment - NOW, timedelta()).total_seconds()
    assert retry_after_seconds(format_datetime(moment, usegmt=True), now=NOW) == expected
