"""Rows of the outbox as the browser gets them: nothing secret, everything bounded.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ringback_notifier._redaction import secrets_of, shown_body, shown_text, shown_url
from ringback_notifier.outbox import Attempt, Count, Duty, EventRow, EventSummary, Page, Status, relay_is_alive
from ringback_notifier.web._access import Access
from ringback_notifier.web._query import cursor_text

__all__ = ["AGAIN", "AGAIN_BY_ID", "attempt", "counts", "detail", "page", "relays", "summary"]

AGAIN: frozenset[Status] = frozenset({"dead", "gone", "refused"})
"""What is sent again when everything that matches is."""

AGAIN_BY_ID: frozenset[Status] = AGAIN | {"delivered", "due"}
"""What is sent again when it is chosen."""


def summary(row: EventSummary, access: Access) -> dict[str, Any]:
    """Return a row of the list."""
    return {
        "id": row.event_id,
        "status": row.status,
        "state": row.state,
        "dag_id": row.dag_id,
        "run_id": row.run_id,
        "destination": row.destination,
        "url": shown_url(row.url) if row.url else None,
        "reported_by": row.reported_by,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "settled_at": row.settled_at,
        "due_at": row.due_at if row.status in ("due", "leased", "hint") else None,
        "may_redeliver": bool(row.url) and row.status in AGAIN_BY_ID and access.edits(row.dag_id),
    }


def detail(row: EventRow, attempts: Iterable[Attempt], access: Access) -> dict[str, Any]:
    """Return everything that is shown of one event."""
    secrets = secrets_of(row.url)
    body = None if row.body is None else shown_body(row.body, secrets)
    shown = summary(row, access)
    return {
        **shown,
        "may_redeliver": shown["may_redeliver"] and row.body is not None,
        "ended_at": row.ended_at,
        "schedule_from": row.schedule_from,
        "leased_by": row.leased_by,
        "body": body and {"text": body.text, "pretty": body.pretty, "redacted": body.redacted},
        "attempts_made": [attempt(one, secrets) for one in attempts],
    }


def attempt(one: Attempt, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Return an attempt, without what the URL must not show.

    An error that quotes the answer leaves that to the excerpt.
    """
    error = one.error
    if error and one.excerpt and one.status is not None:
        error = error.partition(f": {one.excerpt[:20]}")[0]
    return {
        "sender": one.sender,
        "at": one.at,
        "duration": one.duration,
        "status": one.status,
        "error": None if error is None else shown_text(error, secrets),
        "excerpt": shown_text(one.excerpt, secrets),
    }


def page(found: Page, access: Access) -> dict[str, Any]:
    """Return a page of the list."""
    return {
        "rows": [summary(row, access) for row in found.rows],
        "next": cursor_text(found.next),
        "searched_to": found.searched_to,
    }


def counts(found: Mapping[Any, Count]) -> dict[str, dict[str, Any]]:
    """Return how many rows have each status."""
    return {str(status): {"number": count.number, "or_more": count.or_more} for status, count in found.items()}


def relays(duties: Iterable[Duty], *, now: float) -> dict[str, Any]:
    """Return how many relays are alive, and whether there ever was one."""
    seen = list(duties)
    return {"alive": sum(relay_is_alive(duty, now) for duty in seen), "known": bool(seen)}
