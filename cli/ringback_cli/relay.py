"""``ringback relay``: run a relay, and see which run."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ringback_cli.outbox_access import errors_shown, opened_outbox
from ringback_cli.output import AsJson, print_json, print_line

__all__ = ["app"]

app = typer.Typer()


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    drain_for: Annotated[
        float | None, typer.Option("--for", help="Seconds to go on for; without it, until SIGTERM or Ctrl-C.", min=1)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log in more detail.")] = False,
) -> None:
    """Run a relay: confirm hints, sweep Airflow's runs, deliver what is due.

    It reads Airflow's API with the connection ringback_airflow and delivers from the outbox that outbox_url in
    section ringback of airflow.cfg names.
    Several may run at once on one PostgreSQL outbox.

    Example: ringback relay
    """
    if context.invoked_subcommand is not None:
        return
    with errors_shown():
        from ringback_notifier.relay import run_relay

        _log_to_the_terminal(logging.DEBUG if verbose else logging.INFO)
        report = run_relay(drain_for)
        typer.echo(", ".join(f"{name} {value}" for name, value in asdict(report).items()))


@app.command()
def status(
    as_json: AsJson = False,
) -> None:
    """Show which relays are alive, and how many events wait.

    Example: ringback relay status
    """
    with errors_shown(), opened_outbox() as outbox:
        from ringback_notifier.outbox import relay_is_alive

        now = time.time()
        relays = [
            {
                **_said(duty.value),
                "relay": duty.name.removeprefix("relay/"),
                "alive": relay_is_alive(duty, now),
            }
            for duty in outbox.duties("relay/")
        ]
        counts = {str(status): count for status, count in outbox.counts().items()}
    if as_json:
        print_json({"relays": relays, "events": counts})
        return
    if not relays:
        typer.echo("No relay has been here.")
    alive = [relay for relay in relays if relay["alive"]]
    for relay in alive:
        counted = relay.get("counts")
        counted = counted if isinstance(counted, dict) else {}
        done = ", ".join(f"{count} {what}" for what, count in counted.items() if count)
        print_line(f"alive  {relay.get('kind', '?'):8} {relay['relay']}  {done or 'idle'}")
        if relay.get("last_error"):
            print_line(f"       last error: {relay['last_error']}")
    if ended := len(relays) - len(alive):  # one that is a task ends every minute
        typer.echo(f"{ended} more {'has' if ended == 1 else 'have'} ended or died.")
    typer.echo(
        "events: " + (", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) or "none")
    )


def _said(value: str | None) -> dict[str, Any]:
    """Return what a relay tells of itself; a row may hold anything."""
    try:
        told = json.loads(value or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _log_to_the_terminal(level: int) -> None:
    """Show what the relay logs; by a handler of its own, for Airflow sets up the root's as it sees fit."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ringback_notifier")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
