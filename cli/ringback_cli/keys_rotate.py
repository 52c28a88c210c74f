"""``ringback keys rotate``: another key, without an event that nobody believes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ringback_cli.key_options import Destination, Scheme, connection_id, receiver_line
from ringback_cli.output import AsJson, print_json
from ringback_cli.present_keys import WrongInput, read_present_keys, wrong_input_shown
from ringback_protocol import PrivateKey, Secret, SigningKey

__all__ = ["MOST_KEYS", "rotate"]

MOST_KEYS = 8
"""Keys that sign one event: a verifier looks at no more signatures."""


def rotate(
    destination: Destination = "default",
    finish: Annotated[
        bool, typer.Option("--finish", help="End a rotation: make no key, and drop all but the newest.")
    ] = False,
    scheme: Annotated[
        Scheme | None, typer.Option(help="Of the new key; by default as the newest now.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a new signing key before the present ones, and say what to do in which order; later, --finish drops the old.

    The present keys are read from standard input or asked for without echo, never from the command line, which others
    see: the connection's password, the connection as JSON, or what "airflow connections export" writes.

    Example: airflow connections export - --file-format json | ringback keys rotate
    """
    conn_id = connection_id(destination)
    if finish and scheme is not None:
        raise typer.BadParameter("--finish makes no key, so it takes no --scheme", param_hint="--scheme")
    with wrong_input_shown():
        present = read_present_keys(conn_id)
        keys = _finished(present.keys) if finish else (_new_key(present.keys, scheme), *present.keys)
    password = " ".join(key.reveal() for key in keys)
    connection = None if present.connection is None else {**present.connection, "password": password}
    verifying = [str(key.public()) if isinstance(key, PrivateKey) else key.reveal() for key in keys]
    if as_json:
        answer: dict[str, Any] = {"conn_id": conn_id, "password": password, "verification_keys": verifying}
        print_json({**answer, "connection": connection})
        return
    shared = any(isinstance(key, Secret) for key in keys)
    typer.echo(f"Password of the connection {conn_id}, a secret, for Airflow only:\n  {password}\n")
    if connection is not None:
        typer.echo(f"As a file for `airflow connections import --overwrite`:\n  {json.dumps({conn_id: connection})}\n")
    typer.echo(f"Verification keys, for receivers{' (whsec_: a secret as well)' if shared else ''}:")
    for key in verifying:
        typer.echo(f"  {key}")
    typer.echo(_LAST_STEPS if finish else _FIRST_STEPS.format(receiver=receiver_line(verifying)))


def _new_key(present: Sequence[SigningKey], scheme: Scheme | None) -> SigningKey:
    if len(present) >= MOST_KEYS:
        raise WrongInput(f"there are {len(present)} keys, and {MOST_KEYS} are the most: end the last rotation first")
    if scheme is None:
        scheme = Scheme.HMAC if isinstance(present[0], Secret) else Scheme.ED25519
    return Secret.generate() if scheme is Scheme.HMAC else PrivateKey.generate()


def _finished(present: Sequence[SigningKey]) -> Sequence[SigningKey]:
    if len(present) == 1:
        raise WrongInput("there is one key only: no rotation is under way")
    return present[:1]


_FIRST_STEPS = """
What to do; 1 and 2 in either order:
  1. Airflow: give the connection this password. Events are then signed by every key in it.
  2. Receivers: trust every key above, in any order. With Discover("https://…") there is nothing to do.
     {receiver}
  3. When both are done everywhere (connections in the environment: when every component was started again; a relay
     looks after half a minute), run `ringback keys rotate --finish` with the new password.

Do not drop the old key on one side before the other has the new one: events would be refused, and come late, when they
are tried again."""

_LAST_STEPS = """
What to do, if every receiver trusts the key above already; in either order:
  1. Airflow: give the connection this password.
  2. Receivers: trust the key above only. With Discover("https://…") there is nothing to do."""
