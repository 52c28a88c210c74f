"""``ringback store``: look after the receiver's store."""

from __future__ import annotations

from typing import Annotated

import typer

from ringback_cli.output import AsJson, print_json
from ringback_cli.problems import receiver_errors_shown

__all__ = ["app"]

app = typer.Typer(help="Look after the receiver's store.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look after the receiver's store."""


@app.command()
def migrate(
    url: Annotated[
        str,
        typer.Argument(
            envvar="RINGBACK_STORE",
            help="postgresql://user:password@host:5432/database; a password is better kept in the variable.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Create the store's tables in PostgreSQL, or bring them to this version; run it before a new version starts.

    A SQLite store does so by itself.

    Example: RINGBACK_STORE=postgresql://… ringback store migrate
    """
    with receiver_errors_shown():
        from ringback_receiver._migrate import migrate as bring_to_head

        bring_to_head(url)
    if as_json:
        print_json({"up_to_date": True})
    else:
        typer.echo("The store is up to date.")
