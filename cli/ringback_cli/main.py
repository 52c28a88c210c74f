"""Entry point of the ``ringback`` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["main", "make_app"]


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        import typer  # noqa: F401 - looked for before anything else needs it
    except ImportError:
        sys.exit("The ringback command needs typer: pip install 'airflow-ringback[receiver]' (or [airflow])")
    make_app()(prog_name="ringback")


def make_app() -> typer.Typer:
    """Put the commands together; none of them loads what it needs before it runs."""
    import typer

    from ringback_cli import doctor, keys, listen, outbox, pending, relay, send, store, trigger, verify

    app = typer.Typer(
        name="ringback",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_show_locals=False,  # they may hold a password
    )

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", help="Print the version and stop.", is_eager=True, callback=_print_version
        ),
    ) -> None:
        """Be rung back when an Airflow DAG run has ended.

        docs/cli.md has every command with its output, the exit codes and the variables.

        Example: ringback trigger sales_report --conf region=APAC --wait
        """

    app.command()(doctor.doctor)
    app.command()(trigger.trigger)
    app.command()(trigger.wait)
    app.command()(listen.listen)
    app.command()(send.send)
    app.command()(verify.verify)
    app.add_typer(keys.app, name="keys")
    app.add_typer(relay.app, name="relay")
    app.add_typer(outbox.app, name="outbox")
    app.add_typer(pending.app, name="pending")
    app.add_typer(store.app, name="store")
    return app


def _print_version(wanted: bool) -> None:
    """Print it, whatever else is on the command line."""
    import typer

    if wanted:
        from importlib.metadata import version

        typer.echo(version("airflow-ringback"))
        raise typer.Exit
