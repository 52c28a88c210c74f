"""``ringback outbox show``: everything about one event."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringback_cli.moments import ago, clock
from ringback_cli.outbox_access import errors_shown, opened_outbox
from ringback_cli.outbox_json import attempt_json, event_json
from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.problems import fail

if TYPE_CHECKING:
    from ringback_notifier._redaction import Body
    from ringback_notifier.outbox import EventRow

__all__ = ["show"]

_LONGEST = 64_000
"""Bytes of a body; an event has at most 20 kB, whatever else a row may hold."""


def show(
    event_id: Annotated[str, typer.Argument(help="Id of an event, msg_…", metavar="EVENT_ID")],
    as_json: AsJson = False,
) -> None:
    """Show one event: what is sent, every attempt, and when the next one is due.

    Of URLs, neither user nor query is shown, also where an answer or the body repeats them.  Exit code 1 if the event
    is not known.

    Example: ringback outbox show msg_3kq0c1v9b5t7x2m8n4z6p1r5wd
    """
    from ringback_notifier._redaction import secrets_of, shown_body

    with errors_shown(), opened_outbox() as outbox:
        row = outbox.event(event_id)
        if row is None:
            fail(f"no event {event_id!r} is in the outbox")
        made = outbox.attempts_of(event_id)
    secrets = secrets_of(row.url)
    body = None if row.body is None else shown_body(row.body[:_LONGEST], secrets)
    attempts = [attempt_json(attempt, secrets) for attempt in made]
    if as_json:
        print_json({"event": {**event_json(row), "body": _as_json(body)}, "attempts": attempts})
        return
    now = time.time()
    print_line(f"{row.event_id}  {row.status}")
    for line in _facts(row, now):
        print_line(f"  {line}")
    for number, attempt in enumerate(attempts, start=1):
        print_line(f"attempt {number}: {_attempt_line(attempt, now)}")
    if row.body is not None and body is not None:
        print_line(f"body, {len(row.body):,} bytes{', without what its URL hides' if body.redacted else ''}:")
        for line in (body.pretty or body.text).splitlines():
            print_line(f"  {line}")
        if len(row.body) > _LONGEST:
            print_line(f"  … and {len(row.body) - _LONGEST:,} bytes more")


def _facts(row: EventRow, now: float) -> Iterator[str]:
    shown = event_json(row)
    yield f"run          {row.dag_id} / {row.run_id}, {row.state or 'state unknown'}"
    yield f"reported by  {row.reported_by}"
    if row.url is not None:
        yield f"destination  {row.destination}: {shown['url']}"
    yield f"created      {clock(row.created_at)}, {ago(row.created_at, now=now)}"
    if row.ended_at is not None:
        yield f"run ended    {clock(row.ended_at)}, {ago(row.ended_at, now=now)}"
    if row.settled_at is not None:
        yield f"settled      {clock(row.settled_at)}, {ago(row.settled_at, now=now)}"
    due = f"{clock(row.due_at)}, {ago(row.due_at, now=now)}"
    if row.status == "due":
        yield f"next attempt {due}, after {row.attempts} by relays"
    elif row.status == "leased":
        yield f"being sent   by {row.leased_by}, until {due}"
    elif row.status == "hint":
        yield f"a hint       to be looked into {due}"


def _attempt_line(attempt: dict[str, Any], now: float) -> str:
    outcome = "no answer" if attempt["status"] is None else f"answer {attempt['status']}"
    error = f", {attempt['error']}" if attempt["error"] else ""
    excerpt = f", said {attempt['excerpt']!r}" if attempt["excerpt"] else ""
    return (
        f"{attempt['sender']}, {clock(attempt['at'])}, {ago(attempt['at'], now=now)}, "
        f"{outcome} in {attempt['duration']:.2f} s{error}{excerpt}"
    )


def _as_json(body: Body | None) -> Any:
    """Return the document that a body is, or its text."""
    if body is None:
        return None
    return body.text if body.pretty is None else json.loads(body.pretty)
