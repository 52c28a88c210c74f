"""``ringback keys public``: the halves that receivers need."""

from __future__ import annotations

import typer

from ringback_cli.key_options import Destination, connection_id, receiver_line
from ringback_cli.output import AsJson, print_json
from ringback_cli.present_keys import WrongInput, read_present_keys, wrong_input_shown
from ringback_protocol import PrivateKey

__all__ = ["public"]


def public(
    destination: Destination = "default",
    as_json: AsJson = False,
) -> None:
    """Print the verification keys that belong to a destination's signing keys.

    The signing keys are read from standard input or asked for without echo, never from the command line, which others
    see: the connection's password, the connection as JSON, or what "airflow connections export" writes.

    Example: airflow connections export - --file-format json | ringback keys public
    """
    conn_id = connection_id(destination)
    with wrong_input_shown():
        present = read_present_keys(conn_id)
        verifying = [str(key.public()) for key in present.keys if isinstance(key, PrivateKey)]
        if not verifying:
            raise WrongInput(
                "there is no Ed25519 key (whsk_…) among them; a shared secret (whsec_…) has no public half: receivers "
                "hold it, too"
            )
    shared = len(present.keys) - len(verifying)
    if as_json:
        print_json({"verification_keys": verifying, "shared_secrets": shared})
        return
    typer.echo("Verification keys, for receivers, newest first; they are no secret:")
    for key in verifying:
        typer.echo(f"  {key}")
    if shared:
        typer.echo(f"\n{shared} more: a shared secret (whsec_…), which has no public half; receivers hold it, too.")
    typer.echo(f"\n{receiver_line(verifying)}")
