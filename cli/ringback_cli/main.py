"""Entry point of the ``ringback`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        import typer
    except ImportError:
        sys.exit("The ringback command needs typer: pip install 'airflow-ringback[receiver]' (or [airflow])")
    from ringback_cli import keys, outbox, pending, relay, store

    app = typer.Typer(
        name="ringback",
        help="Be rung back when an Airflow DAG run has ended.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_show_locals=False,  # they may hold a password
    )

    @app.callback()
    def version_option(
        version: bool = typer.Option(False, "--version", help="Print the version and stop.", is_eager=True),
    ) -> None:
        if version:
            from importlib.metadata import version as installed

            typer.echo(installed("airflow-ringback"))
            raise typer.Exit

    app.add_typer(keys.app, name="keys")
    app.add_typer(relay.app, name="relay")
    app.add_typer(outbox.app, name="outbox")
    app.add_typer(pending.app, name="pending")
    app.add_typer(store.app, name="store")
    app()
