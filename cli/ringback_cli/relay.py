"""``ringback relay``: run a relay, see which run, and send again what was given up."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ringback_notifier.outbox import Outbox, Status

__all__ = ["app", "errors_shown", "opened_outbox"]

app = typer.Typer()

_AGES = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    drain_for: Annotated[
        float | None, typer.Option("--for", help="Seconds to go on for; without it, until SIGTERM or Ctrl-C.", min=1)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every delivery.")] = False,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show which relays are alive, and how many events wait.

    Example: ringback relay status
    """
    with errors_shown(), opened_outbox() as outbox:
        now = time.time()
        relays = [
            {"relay": name.removeprefix("relay/"), "alive": until > now, **json.loads(value or "{}")}
            for name, _holder, until, value in outbox.duties("relay/")
        ]
        counts = {str(status): count for status, count in outbox.counts().items()}
    if as_json:
        typer.echo(json.dumps({"relays": relays, "events": counts}))
        return
    if not relays:
        typer.echo("No relay has been here.")
    alive = [relay for relay in relays if relay["alive"]]
    for relay in alive:
        done = ", ".join(f"{count} {what}" for what, count in relay.get("counts", {}).items() if count)
        typer.echo(f"alive  {relay.get('kind', '?'):8} {relay['relay']}  {done or 'idle'}")
        if relay.get("last_error"):
            typer.echo(f"       last error: {relay['last_error']}")
    if ended := len(relays) - len(alive):  # one that is a task ends every minute
        typer.echo(f"{ended} more {'has' if ended == 1 else 'have'} ended or died.")
    typer.echo(
        "events: " + (", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) or "none")
    )


@app.command()
def redeliver(
    event_ids: Annotated[list[str] | None, typer.Argument(help="Ids of events, msg_…", metavar="[EVENT_ID]...")] = None,
    since: Annotated[
        str | None, typer.Option(help="Events since then: an ISO time, or an age such as 90m, 6h or 3d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Events until then; an ISO time or an age.")] = None,
    dag_id: Annotated[str | None, typer.Option("--dag", help="Only of this DAG.")] = None,
    destination: Annotated[str | None, typer.Option(help="Only of this destination.")] = None,
    delivered: Annotated[
        bool,
        typer.Option("--delivered", help="Also events that were delivered; the receiver takes them as duplicates."),
    ] = False,
) -> None:
    """Send events again: those named, or all that were given up or refused in a time range.

    Exit code 1 if there is none.

    Example: ringback relay redeliver --since 6h --dag sales_report
    """
    if not event_ids and since is None:
        raise typer.BadParameter("name events, or a time range with --since", param_hint="EVENT_ID")
    now = time.time()
    start, end = _moment(since, now, "--since"), _moment(until, now, "--until")
    with errors_shown(), opened_outbox() as outbox:
        statuses: set[Status] = {"dead", "gone", "refused"}
        if delivered:
            statuses.add("delivered")
        count = outbox.redeliver(
            event_ids=event_ids or None,
            since=start,
            until=end,
            statuses=statuses,
            dag_id=dag_id,
            destination=destination,
            now=now,
        )
    typer.echo(f"{count} {'event is' if count == 1 else 'events are'} due again; a relay delivers them.")
    if not count:
        raise typer.Exit(1)


def _log_to_the_terminal(level: int) -> None:
    """Show what the relay logs; by a handler of its own, for Airflow sets up the root's as it sees fit."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ringback_notifier")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


@contextmanager
def opened_outbox() -> Iterator[Outbox]:
    """Open the outbox that Airflow's configuration names, but make none: it would belong to whoever looks first."""
    from ringback_notifier import _config
    from ringback_notifier.errors import OutboxError
    from ringback_notifier.outbox import Outbox

    url = _config.outbox_url()
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        raise OutboxError(
            f"there is no outbox {url} yet; is this the machine, and the AIRFLOW_HOME, of Airflow's components?"
        )
    outbox = Outbox.open(url, wait=10.0)
    try:
        yield outbox
    finally:
        outbox.close()


@contextmanager
def errors_shown() -> Iterator[None]:
    """Print one of our errors as a message, with exit code 1."""
    try:
        from ringback_notifier.errors import NotifierError
    except ImportError:
        typer.echo("This command runs beside Airflow: pip install 'airflow-ringback[airflow]'", err=True)
        raise typer.Exit(1) from None
    try:
        yield
    except NotifierError as error:
        typer.echo(f"ringback: {error}", err=True)
        raise typer.Exit(1) from None


def _moment(text: str | None, now: float, option: str) -> float | None:
    """Read an ISO time (UTC unless it says otherwise) or an age."""
    if text is None:
        return None
    if age := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return now - timedelta(seconds=float(age[1]) * _AGES[age[2]]).total_seconds()
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-07-02T00:00Z nor an age such as 6h", param_hint=option
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
