"""Attempts on record."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from ringback_notifier.outbox._many import insert_rows
from ringback_notifier.outbox._rows import Attempt
from ringback_notifier.outbox._schema import attempts

__all__ = ["write_attempts"]

_EXCERPT = 500
_ERROR = 2000


def write_attempts(connection: Connection, made: Iterable[tuple[str, Attempt]]) -> None:
    """Insert attempts, each with the id of its event, which is in the outbox."""
    rows = [
        {
            "event_id": event_id,
            "sender": attempt.sender,
            "at": attempt.at,
            "duration": attempt.duration,
            "status": attempt.status,
            "error": None if attempt.error is None else _storable(attempt.error, _ERROR),
            "excerpt": _storable(attempt.excerpt, _EXCERPT),
        }
        for event_id, attempt in made
    ]
    insert_rows(connection, attempts, rows)


def _storable(text: str, longest: int) -> str:
    """Return what a database takes: a stranger's answer may hold what PostgreSQL does not (NUL) or UTF-8 cannot."""
    return text[:longest].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
