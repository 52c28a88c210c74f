"""``ringback outbox purge``: delete what is over."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ringback_cli.confirming import Yes, confirm
from ringback_cli.exit_codes import ExitCode
from ringback_cli.moments import clock, moment
from ringback_cli.outbox_access import errors_shown, opened_outbox
from ringback_cli.output import AsJson, print_json

__all__ = ["purge"]


def purge(
    before: Annotated[
        str, typer.Option("--before", help="What was settled before then: a time, or an age such as 30d.")
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete events that were settled before a moment, with their attempts, and hints of that age.

    What waits to be delivered stays.  A relay does the same by itself, after retention_days.  Exit code 1 if there is
    none.

    Example: ringback outbox purge --before 30d
    """
    at = moment(before, now=time.time(), option="--before")
    assert at is not None
    with errors_shown(), opened_outbox() as outbox:
        count = outbox.count_purgeable(before=at)
        number = 0
        if count.number:
            shown = f"{'at least ' if count.or_more else ''}{count.number} event{'' if count.number == 1 else 's'}"
            confirm(f"Delete {shown} settled before {clock(at)}?", yes=yes)
            while purged := outbox.purge(before=at):
                number += purged
    if as_json:
        print_json({"events": number})
    else:
        typer.echo(f"{number} event{' is' if number == 1 else 's are'} deleted.")
    if not number:
        raise typer.Exit(ExitCode.NOT_DONE)
