"""``ringback trigger`` and ``ringback wait``: start a run, and learn how it ends."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone
from functools import partial
from typing import Annotated, TypeAlias

import typer

from ringback_cli.a_text import a_text
from ringback_cli.airflow_access import AirflowUrl, CaBundle, PasswordFile, Username, airflow_access
from ringback_cli.moments import iso_time
from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.problems import receiver_errors_shown
from ringback_cli.run_conf import parse_conf
from ringback_cli.serving import bound_socket, parse_address
from ringback_cli.verification_keys import DiscoverFrom, KeyFile, KeyTexts, key_source

__all__ = ["trigger", "wait"]

DagId: TypeAlias = Annotated[str, typer.Argument(help="The DAG's id.", callback=a_text)]
Timeout: TypeAlias = Annotated[float, typer.Option(help="Seconds to wait for the end at most.", min=1, max=30 * 86_400)]


def trigger(
    dag_id: DagId,
    conf: Annotated[
        list[str] | None,
        typer.Option(
            help="name=value, where the value may be JSON, or @file.json for a whole object; may be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code tells it.")] = False,
    timeout: Timeout = 3_600.0,
    run_id: Annotated[
        str | None, typer.Option(help="The run's id; triggering again with the same is safe.", metavar="ID")
    ] = None,
    logical_date: Annotated[
        str | None, typer.Option(help="An ISO time, in UTC unless it says otherwise.", metavar="TIME")
    ] = None,
    callback_url: Annotated[
        str | None, typer.Option(help="Where the run is to ring; with --listen, how Airflow reaches us.", metavar="URL")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="With --wait: be rung back, on this address, instead of asking.", metavar="HOST:PORT"),
    ] = None,
    destination: Annotated[
        str | None, typer.Option(help="Which of Airflow's destinations is to ring.", metavar="NAME")
    ] = None,
    keys: KeyTexts = None,
    key_file: KeyFile = None,
    discover: DiscoverFrom = None,
    airflow: AirflowUrl = None,
    username: Username = None,
    password_file: PasswordFile = None,
    ca_bundle: CaBundle = None,
    as_json: AsJson = False,
) -> None:
    """Trigger a DAG run, and with --wait learn how it ends; the result goes to standard output.

    It waits by Airflow's /wait, by polling where there is none, or with --listen by a small receiver of its own.
    Exit code 0 if the run succeeded, 3 if it failed, 4 if it did not end in time, 5 if it was deleted, 6 if Airflow
    cannot be reached.

    Example: ringback trigger sales_report --conf region=APAC --wait
    """
    if listen is not None and not (wait and callback_url):
        raise typer.BadParameter("it needs --wait and --callback-url", param_hint="--listen")
    if destination is not None and callback_url is None:
        raise typer.BadParameter("it needs --callback-url", param_hint="--destination")
    # Whatever cannot be right is told before anything is sent.
    members = parse_conf(conf or ())
    moment = _moment(logical_date)
    access = airflow_access(airflow, username, password_file, ca_bundle)
    with receiver_errors_shown():
        from ringback_cli import waiting
        from ringback_protocol import CallbackRequestError

        run = waiting.Trigger(dag_id=dag_id, conf=members, run_id=_run_id(run_id), logical_date=moment)
        if callback_url is not None:
            try:
                ringing = waiting.asking(run, callback_url, destination)
            except CallbackRequestError as error:
                raise typer.BadParameter(error.problem, param_hint="--callback-url") from None
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--conf") from None
        else:
            ringing = run
        if listen is not None and callback_url is not None:
            own = waiting.OwnReceiver(
                callback_url=callback_url,
                keys=key_source(keys, key_file, discover, destination),
                bound=bound_socket(parse_address(listen)),
                destination=destination,
            )
            work = partial(waiting.ring_back, access, run, own, seconds=timeout)
            waiting.concluded(work, dag_id, run.run_id).end(as_json=as_json)
        if wait:
            work = partial(waiting.trigger_and_ask, access, ringing, seconds=timeout)
            waiting.concluded(work, dag_id, run.run_id).end(as_json=as_json)
        made = waiting.triggered(access, ringing)
        if as_json:
            print_json({"dag_id": made.dag_id, "run_id": made.run_id, "state": made.state, "run_url": made.run_url})
        else:
            print_line(f"{made.run_id}  {made.run_url}")


def wait(
    dag_id: DagId,
    run_id: Annotated[str, typer.Argument(help="The run's id.", callback=a_text)],
    timeout: Timeout = 3_600.0,
    airflow: AirflowUrl = None,
    username: Username = None,
    password_file: PasswordFile = None,
    ca_bundle: CaBundle = None,
    as_json: AsJson = False,
) -> None:
    """Wait for the end of a run that was triggered before; the result goes to standard output.

    Exit codes are those of `ringback trigger --wait`.

    Example: ringback wait sales_report nightly_7
    """
    access = airflow_access(airflow, username, password_file, ca_bundle)
    with receiver_errors_shown():
        from ringback_cli import waiting

        work = partial(waiting.wait_by_asking, access, dag_id, run_id, seconds=timeout)
        waiting.concluded(work, dag_id, run_id).end(as_json=as_json)


def _run_id(given: str | None) -> str:
    """Return an id: known before anything is sent, so that it can be told whatever happens."""
    if given is None:
        return f"ringback__{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}_{secrets.token_hex(6)}"
    if not re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", given):
        raise typer.BadParameter("1 to 250 letters, digits and _ . ~ : + -", param_hint="--run-id")
    return given


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return iso_time(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time such as 2026-07-02T00:00Z", param_hint="--logical-date"
        ) from None
