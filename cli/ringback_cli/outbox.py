"""``ringback outbox``: look after the outbox."""

from __future__ import annotations

import typer

from ringback_cli.relay import errors_shown

__all__ = ["app"]

app = typer.Typer(help="Look after the outbox.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look after the outbox."""


@app.command()
def migrate() -> None:
    """Create the outbox's tables, or bring them to this version; run it before a new version's components start.

    A SQLite outbox does so by itself, and is not created here: it would belong to whoever typed this.

    Example: ringback outbox migrate
    """
    with errors_shown():
        from ringback_notifier import _config
        from ringback_notifier.outbox import migrate as bring_to_head

        bring_to_head(_config.outbox_url())
    typer.echo("The outbox is up to date.")
