"""One ending, one id: whoever reports it, and however often."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone

import msgspec

__all__ = ["event_id"]


def event_id(
    *, source: str, dag_id: str, run_id: str, start_date: datetime | None, state: str, callback_url: str
) -> str:
    """Return ``msg_`` and 160 bits of SHA-256 in lower-case base32.

    Every path that reports an ending knows these six values, so all arrive at the same id.  A rerun
    after clearing has a new ``start_date`` and so a new id.

    :param source: the Airflow deployment, ``[ringback] source``.
    :param start_date: of the run, aware, or ``None`` if it never started.
    :param state: the run's state in Airflow's words: ``success``, ``failed`` or ``running``.
    :raises ValueError: if ``start_date`` has no time zone.
    """
    if start_date is not None:
        if start_date.utcoffset() is None:
            raise ValueError("start_date must be aware")
        started = start_date.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    else:
        started = None
    # A JSON array keeps the parts apart whatever they contain.
    identity = msgspec.json.encode([source, dag_id, run_id, started, state, callback_url])
    return "msg_" + base64.b32encode(hashlib.sha256(identity).digest()[:20]).decode("ascii").lower()
