"""What to do after an attempt: an outcome in, a decision out, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = [
    "Answer",
    "Decision",
    "Delivered",
    "GiveUp",
    "NoAnswer",
    "Outcome",
    "Retry",
    "decide",
    "retry_after_seconds",
]

MAX_RETRY_AFTER = 6 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The receiver answered.

    :param status: the HTTP status code.
    :param retry_after: seconds, from its ``Retry-After``, or ``None``.
    :param excerpt: the start of the answer's body, made printable.
    """

    status: int
    retry_after: float | None = None
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAnswer:
    """Nobody answered in time.

    :param error: what happened, such as ``timeout: …`` or ``connect: …``.
    :param of_host: whether it says anything of the host, rather than of our own side.
    """

    error: str
    of_host: bool = True


Outcome = Answer | NoAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """The receiver has it."""

    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again, not sooner than ``not_before`` seconds from now if that is set."""

    why: str
    not_before: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """Never try again: the receiver said so."""

    why: str


Decision = Delivered | Retry | GiveUp


def decide(outcome: Outcome) -> Decision:
    """Turn the outcome of an attempt into what to do next.

    2xx is delivered; 410 stops for good; everything else, redirects included, is retried, because keys,
    routes and outages get mended.  ``Retry-After`` counts on 429 and 503 (RFC 9110, section 10.2.3) and is
    bounded by six hours.
    """
    if isinstance(outcome, NoAnswer):
        return Retry(why=outcome.error)
    if 200 <= outcome.status < 300:
        return Delivered(status=outcome.status)
    why = f"status {outcome.status}" + (f": {outcome.excerpt}" if outcome.excerpt else "")
    if outcome.status == 410:
        return GiveUp(why=f"{why} (the caller no longer waits)")
    if 300 <= outcome.status < 400:
        return Retry(why=f"{why} (redirects are never followed: put the final URL into conf)")
    if outcome.status in (429, 503) and outcome.retry_after is not None:
        return Retry(why=why, not_before=min(max(outcome.retry_after, 0.0), MAX_RETRY_AFTER))
    return Retry(why=why)


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """Read a ``Retry-After`` header: seconds or an HTTP date; anything else counts as absent.

    :param now: aware.
    """
    if value is None or not value.isascii():
        return None
    value = value.strip()
    if value.isdigit():
        return float(value) if len(value) < 10 else MAX_RETRY_AFTER
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max((moment - now).total_seconds(), 0.0)
