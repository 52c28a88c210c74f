"""``ringback outbox``: what was delivered, what was not and why, and what to do about it."""

from __future__ import annotations

import typer

from ringback_cli.outbox_access import errors_shown
from ringback_cli.outbox_list import list_events
from ringback_cli.outbox_purge import purge
from ringback_cli.outbox_redeliver import redeliver
from ringback_cli.outbox_show import show
from ringback_cli.output import AsJson, print_json

__all__ = ["app"]

app = typer.Typer(help="See what was delivered and what was not, send again, clean up.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """See what was delivered and what was not, send again, clean up."""


app.command("list")(list_events)
app.command()(show)
app.command()(redeliver)
app.command()(purge)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Create the outbox's tables, or bring them to this version; run it before a new version's components start.

    A SQLite outbox does so by itself, and is not created here: it would belong to whoever typed this.

    Example: ringback outbox migrate
    """
    with errors_shown():
        from ringback_notifier import _config
        from ringback_notifier.outbox import migrate as bring_to_head

        bring_to_head(_config.outbox_url())
    if as_json:
        print_json({"up_to_date": True})
    else:
        typer.echo("The outbox is up to date.")
