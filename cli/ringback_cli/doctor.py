"""``ringback doctor``: what is set up, what is not, and what to do about it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.airflow_access import AirflowUrl, CaBundle, PasswordFile, Username, airflow_access
from ringback_cli.exit_codes import ExitCode
from ringback_cli.output import AsJson, print_json, print_line

if TYPE_CHECKING:
    from ringback_cli.diagnosis.finding import Group

__all__ = ["doctor"]

_WITHIN = 40.0
"""Seconds for everything; Airflow's own imports take some of them on a busy machine."""


def doctor(
    destinations: Annotated[
        list[str] | None,
        typer.Option("--destination", help="In Airflow: a destination to look at; may be repeated.", metavar="NAME"),
    ] = None,
    receiver: Annotated[
        str | None, typer.Option(help="A callback URL to try, from here, with an unsigned POST.", metavar="URL")
    ] = None,
    receiver_ca: Annotated[
        str | None, typer.Option(help="PEM file with the only CAs to trust for --receiver.", metavar="PATH")
    ] = None,
    store: Annotated[
        str | None, typer.Option(envvar="RINGBACK_STORE", help="A receiver's store to look at.", metavar="URL")
    ] = None,
    discover: Annotated[
        str | None, typer.Option(help="Address of an Airflow that is to publish keys.", metavar="URL")
    ] = None,
    airflow: AirflowUrl = None,
    username: Username = None,
    password_file: PasswordFile = None,
    ca_bundle: CaBundle = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything that must be right, and say of each whether it is, or what to do.

    Where Airflow is installed: its configuration, destinations, outbox and relay. With --airflow, --store, --discover
    or --receiver: the caller's side. Exit code 1 if there is a problem; warnings are none.

    Example: ringback doctor --receiver https://portal.example/airflow/completions
    """
    from ringback_cli.diagnosis.rendering import as_lines, as_members, has_problem
    from ringback_cli.diagnosis.running import examine, hangs

    access = airflow_access(airflow, username, password_file, ca_bundle) if airflow else None
    names = destinations or ["default"]
    groups: list[Group] = []
    # Airflow's own log lines, which go where print() goes, are no part of the diagnosis.
    with contextlib.redirect_stdout(sys.stderr):
        if importlib.util.find_spec("airflow") is not None:
            groups += _in_airflow(names)
        from ringback_cli.diagnosis import caller
        from ringback_cli.diagnosis import receiver as other_end
        from ringback_cli.diagnosis.finding import Group

        if access is not None:
            checks = (partial(caller.account, access), partial(caller.clock, access))
            groups.append(Group(section="Caller", subject="Airflow's API", checks=checks))
        if discover:
            look = partial(caller.published_keys, discover, names[0])
            groups.append(Group(section="Caller", subject="published keys", checks=(look,)))
        if store:
            groups.append(Group(section="Caller", subject="store", checks=(partial(caller.store, store),)))
        if receiver:
            look = partial(other_end.receiver, receiver, receiver_ca)
            groups.append(Group(section="Receiver", subject="receiver", checks=(look,)))
        if not groups:
            raise typer.BadParameter(
                "there is no Airflow here; say what to look at: --airflow, --store, --discover, --receiver",
                param_hint="--airflow",
            )
        diagnosis = examine(groups, within=_WITHIN)
    if as_json:
        print_json(as_members(diagnosis))
    else:
        for line in as_lines(diagnosis):
            print_line(line)
    sys.stdout.flush()
    sys.stderr.flush()
    code = ExitCode.NOT_DONE if has_problem(diagnosis) else ExitCode.DONE
    if hangs():
        os._exit(code)
    raise typer.Exit(code)


def _in_airflow(destinations: list[str]) -> list[Group]:
    """Return the checks of this Airflow; what they share is loaded here, in one thread."""
    from ringback_cli.diagnosis import airflow_config
    from ringback_cli.diagnosis import destinations as connections
    from ringback_cli.diagnosis import outbox as outboxes
    from ringback_cli.diagnosis.finding import Group
    from ringback_cli.diagnosis.relay_account import relay_account
    from ringback_notifier._compat import airflow_conf
    from ringback_notifier.relay._lookups import look_up_as_a_server

    look_up_as_a_server()
    airflow_conf()
    import airflow.sdk  # noqa: F401 - two threads must not import it at once

    return [
        Group(
            section="In Airflow",
            subject="configuration",
            checks=(airflow_config.options, airflow_config.names, airflow_config.listener),
        ),
        Group(
            section="In Airflow",
            subject="destinations",
            checks=tuple(partial(connections.destination, name) for name in destinations),
        ),
        Group(section="In Airflow", subject="outbox", checks=(outboxes.outbox, outboxes.relays)),
        Group(section="In Airflow", subject="connection ringback_airflow", checks=(relay_account,)),
    ]
