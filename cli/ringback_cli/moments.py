"""Moments as people write and read them: a time, or how long ago it was."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import typer

__all__ = ["ago", "clock", "iso_time", "moment"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str | None, *, now: float, option: str) -> float | None:
    """Read an ISO time (UTC unless it says otherwise) or an age such as ``90m`` or ``3d``, as Unix seconds.

    :raises typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        if age := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text, re.ASCII):
            return now - timedelta(**{_UNITS[age[2]]: float(age[1])}).total_seconds()
        return iso_time(text).timestamp()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-07-02T00:00Z nor an age such as 6h", param_hint=option
        ) from None


def iso_time(text: str) -> datetime:
    """Read an ISO time, in UTC unless it says otherwise.

    :raises ValueError: it is none.
    """
    read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


def clock(at: float) -> str:
    """Return a time of day and date in UTC."""
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"at {at}"


def ago(at: float, *, now: float) -> str:
    """Say how far away a moment is."""
    seconds = abs(at - now)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            far = f"{seconds / size:.0f}{unit}"
            break
    else:
        far = f"{seconds:.0f}s"
    return f"in {far}" if at > now else f"{far} ago"
