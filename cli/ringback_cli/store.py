"""``ringback store``: look after the receiver's store."""

from __future__ import annotations

from typing import Annotated

import typer

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
) -> None:
    """Create the store's tables in PostgreSQL, or bring them to this version; run it before a new version starts.

    A SQLite store does so by itself.

    Example: RINGBACK_STORE=postgresql://… ringback store migrate
    """
    try:
        from ringback_receiver._migrate import migrate as bring_to_head
    except ImportError:
        typer.echo("This command belongs to the receiver: pip install 'airflow-ringback[receiver,postgres]'", err=True)
        raise typer.Exit(1) from None
    from ringback_receiver.errors import ReceiverError

    try:
        bring_to_head(url)
    except ReceiverError as error:
        typer.echo(f"ringback: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("The store is up to date.")
