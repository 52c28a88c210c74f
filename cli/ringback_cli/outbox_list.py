"""``ringback outbox list``: what there is, the newest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.moments import ago
from ringback_cli.outbox_access import errors_shown, opened_outbox
from ringback_cli.outbox_json import event_json
from ringback_cli.outbox_selection import DagId, Destination, RunId, RunText, Since, Statuses, Until, selection
from ringback_cli.output import AsJson, print_json, printable

if TYPE_CHECKING:
    from ringback_notifier.outbox import EventFilter, EventSummary, Outbox

__all__ = ["list_events"]

_ENDLESS = 100_000
"""Columns of a line that is read by a program."""

_LONGEST = 300
"""Characters of one cell."""


def list_events(
    status: Statuses = None,
    dag_id: DagId = None,
    run_id: RunId = None,
    text: RunText = None,
    destination: Destination = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first.

    Of URLs, neither user nor query is shown.

    Example: ringback outbox list --status dead --since 2h
    """
    now = time.time()
    with errors_shown(), opened_outbox() as outbox:
        asked = selection(
            statuses=status,
            dag_id=dag_id,
            run_id=run_id,
            text=text,
            destination=destination,
            since=since,
            until=until,
            now=now,
        )
        rows, more = _search(outbox, asked, limit)
    if as_json:
        print_json({"events": [event_json(row) for row in rows], "more": more})
        return
    if not rows:
        typer.echo("There is no such event.")
        return
    _print_table(rows, now)
    if more:
        typer.echo(f"There are more than these {len(rows)}; raise --limit, or go on with --until.")


def _search(outbox: Outbox, asked: EventFilter, limit: int) -> tuple[list[EventSummary], bool]:
    """Go on where a page ends before it is full."""
    page = outbox.page(asked, limit=limit)
    rows = page.rows
    while page.next is not None and len(rows) < limit:
        page = outbox.page(asked, after=page.next, limit=limit - len(rows))
        rows += page.rows
    return rows, page.next is not None


def _print_table(rows: Sequence[EventSummary], now: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ringback_notifier._redaction import shown_url

    table = Table(box=None, pad_edge=False)
    for name in ("event", "status", "DAG", "run", "created", "attempts", "destination", "URL"):
        table.add_column(name, overflow="fold", no_wrap=name == "event")
    for row in rows:
        cells = (
            row.event_id,
            row.status,
            row.dag_id,
            row.run_id,
            ago(row.created_at, now=now),
            str(row.attempts),
            row.destination or "",
            "" if row.url is None else shown_url(row.url),
        )
        table.add_row(*(Text(printable(cell[:_LONGEST])) for cell in cells))
    # A program that reads lines gets each row on one.
    Console(width=None if sys.stdout.isatty() else _ENDLESS, highlight=False).print(table)
