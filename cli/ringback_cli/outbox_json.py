"""An event as JSON: stable names, and nothing that its URL hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback_notifier.outbox import Attempt, EventSummary

__all__ = ["attempt_json", "event_json"]


def event_json(row: EventSummary) -> dict[str, Any]:
    """Return a row without its body; times are Unix seconds."""
    from ringback_notifier._redaction import shown_url

    return {
        "event_id": row.event_id,
        "status": row.status,
        "dag_id": row.dag_id,
        "run_id": row.run_id,
        "state": row.state,
        "destination": row.destination,
        "url": None if row.url is None else shown_url(row.url),
        "reported_by": row.reported_by,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "settled_at": row.settled_at,
        "next_attempt_at": row.due_at if row.status == "due" else None,
    }


def attempt_json(attempt: Attempt, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Return an attempt."""
    from ringback_notifier._redaction import shown_text

    return {
        "sender": attempt.sender,
        "at": attempt.at,
        "duration": attempt.duration,
        "status": attempt.status,
        "error": None if attempt.error is None else shown_text(attempt.error, secrets),
        "excerpt": shown_text(attempt.excerpt, secrets),
    }
