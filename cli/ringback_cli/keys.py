"""``ringback keys``: make, show and change the keys that sign and verify events."""

from __future__ import annotations

import json
import re
import shlex
from typing import Annotated

import typer

from ringback_cli.key_options import Destination, Scheme, connection_id, receiver_line
from ringback_cli.keys_public import public
from ringback_cli.keys_rotate import rotate
from ringback_cli.output import AsJson, print_json
from ringback_protocol import PrivateKey, Secret

__all__ = ["app"]

app = typer.Typer(help="Make, show and change the keys that sign and verify events.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make, show and change the keys that sign and verify events."""


@app.command()
def new(
    destination: Destination = "default",
    allow: Annotated[
        list[str] | None, typer.Option(help="A URL pattern that events may go to; may be repeated.")
    ] = None,
    scheme: Annotated[
        Scheme, typer.Option(help="ed25519: receivers hold no secret. hmac: both sides share one.")
    ] = Scheme.ED25519,
    as_json: AsJson = False,
) -> None:
    """Make a key pair, and print the command that gives it to Airflow.

    Example: ringback keys new --allow https://portal.example/airflow/
    """
    conn_id = connection_id(destination)
    for pattern in allow or ():
        if not re.match(r"https?://[^/?#\s]", pattern):
            raise typer.BadParameter(f"{pattern!r}: write it as https://host/path/", param_hint="--allow")
    if scheme is Scheme.ED25519:
        private = PrivateKey.generate()
        signing, verifying = private.reveal(), str(private.public())
    else:
        signing = verifying = Secret.generate().reveal()
    connection = {
        "conn_type": "ringback",
        "password": signing,
        "extra": {"allow": allow or ["https://portal.example/airflow/"]},
    }
    add = f"airflow connections add {conn_id} --conn-json {shlex.quote(json.dumps(connection))}"
    if as_json:
        print_json(
            {"signing_key": signing, "verification_key": verifying, "conn_id": conn_id, "connection": connection}
        )
        return
    secret_note = " (a secret as well: HMAC shares it)" if scheme is Scheme.HMAC else ""
    typer.echo(f"Signing key, a secret, for Airflow only:\n  {signing}\n")
    typer.echo(f"Verification key, for receivers{secret_note}:\n  {verifying}\n")
    typer.echo("Give the signing key to Airflow:")
    typer.echo(f"  {add}\n")
    if "-" not in conn_id:  # no shell takes a variable of that name
        typer.echo("Or through the environment of every Airflow component:")
        typer.echo(f"  export AIRFLOW_CONN_{conn_id.upper()}={shlex.quote(json.dumps(connection))}\n")
    if not allow:
        typer.echo("Put your receiver's address in place of https://portal.example/airflow/.")
    typer.echo(receiver_line([verifying]))


app.command()(public)
app.command()(rotate)
