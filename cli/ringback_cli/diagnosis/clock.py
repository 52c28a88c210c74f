"""Two clocks that should agree: a signature is believed for five minutes.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ringback_cli.diagnosis.finding import Finding, fine, problem, warning
from ringback_protocol import DEFAULT_TOLERANCE

__all__ = ["clock_finding", "date_of"]

_NOTICEABLE = 30.0


def date_of(headers: Mapping[str, str]) -> float | None:
    """Return what a ``Date`` header says, in Unix seconds."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None


def clock_finding(theirs: float | None, ours: float) -> Finding:
    """Judge how far the API server's clock is from ours.

    :param theirs: Unix seconds, or ``None`` if it does not say.
    """
    if theirs is None:
        return warning("clock", "Airflow's answer has no readable Date header", "see whether a proxy removes it")
    away = ours - theirs
    said = f"{abs(away):.0f} s {'ahead of' if away > 0 else 'behind'} Airflow's"
    mend = "set both clocks by NTP: a receiver refuses what was signed more than five minutes ago, or ahead"
    if abs(away) > DEFAULT_TOLERANCE.total_seconds() / 2:
        return problem("clock", said, mend)
    if abs(away) > _NOTICEABLE:
        return warning("clock", said, mend)
    return fine("clock", f"within {max(abs(away), 1):.0f} s of Airflow's")
