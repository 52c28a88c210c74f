"""``ringback outbox redeliver``: send again what was given up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.confirming import Yes, confirm
from ringback_cli.exit_codes import ExitCode
from ringback_cli.outbox_access import errors_shown, opened_outbox
from ringback_cli.outbox_selection import DagId, Destination, RunId, RunText, Since, Statuses, Until, selection
from ringback_cli.output import AsJson, print_json

if TYPE_CHECKING:
    from ringback_notifier.outbox import EventFilter, Outbox

__all__ = ["redeliver"]

_ALL = 1_000_000
"""Events to count, and rows to look at for it: a command may take seconds."""


def redeliver(
    event_ids: Annotated[list[str] | None, typer.Argument(help="Ids of events, msg_…", metavar="[EVENT_ID]...")] = None,
    status: Statuses = None,
    dag_id: DagId = None,
    run_id: RunId = None,
    text: RunText = None,
    destination: Destination = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many events that would be.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send events again: those named, or all that the options leave.

    Without --status these are events that are dead, gone or refused, and among those named also delivered ones, which
    their receivers take as duplicates.  --status delivered needs names or --since; --status due tries now what waits
    for its next attempt.  Exit code 1 if there is none.

    Example: ringback outbox redeliver --since 6h --dag-id sales_report
    """
    now = time.time()
    with errors_shown():
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
        if not event_ids and asked == _everything():
            raise typer.BadParameter("name events, or say which with an option such as --since", param_hint="EVENT_ID")
        with opened_outbox() as outbox:
            number, or_more = 0, False
            try:
                if dry_run or not yes:  # who need not be asked need not wait for the number either
                    count = outbox.count_redeliverable(asked, event_ids=event_ids or None, cap=_ALL, looks=_ALL)
                    number, or_more = count.number, count.or_more
                if not dry_run and (yes or number):
                    confirm(f"Send {'at least ' if or_more else ''}{_events(number)} again?", yes=yes)
                    number, or_more = _redeliver(outbox, asked, event_ids or None, now), False
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--status") from None
    if as_json:
        print_json({"events": number, "or_more": or_more, "dry_run": dry_run})
    elif dry_run:
        typer.echo(f"{'At least ' if or_more else ''}{_events(number)} would be sent again.")
    else:
        typer.echo(f"{_events(number)} {'is' if number == 1 else 'are'} due again; a relay delivers them.")
    if not number:
        raise typer.Exit(ExitCode.NOT_DONE)


def _redeliver(outbox: Outbox, asked: EventFilter, event_ids: list[str] | None, now: float) -> int:
    """Go step by step: each is a short transaction, and relays go on meanwhile."""
    step = outbox.redeliver(asked, event_ids=event_ids, now=now)
    done = step.number
    while step.next is not None:
        step = outbox.redeliver(asked, after=step.next, now=now)
        done += step.number
    return done


def _everything() -> EventFilter:
    from ringback_notifier.outbox import EventFilter

    return EventFilter()


def _events(number: int) -> str:
    return f"{number} event{'' if number == 1 else 's'}"
