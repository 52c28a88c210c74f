"""``ringback listen``: a receiver for the terminal, which shows what comes in and passes it on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.problems import receiver_errors_shown
from ringback_cli.serving import bound_socket, parse_address, serving
from ringback_cli.verification_keys import DiscoverFrom, KeyFile, KeyTexts, key_source

if TYPE_CHECKING:
    import socket

    from ringback_cli.listener import Listener
    from ringback_cli.seen import Seen

__all__ = ["listen"]


def listen(
    address: Annotated[
        str, typer.Option("--listen", help="Where to listen; 0.0.0.0 for all of the machine's addresses.")
    ] = "127.0.0.1:8787",
    url: Annotated[
        str | None,
        typer.Option(help="The callback URL that events must be addressed to.", metavar="URL"),
    ] = None,
    any_audience: Annotated[
        bool, typer.Option("--any-audience", help="Believe events whatever URL they are addressed to.")
    ] = False,
    forward_to: Annotated[
        str | None,
        typer.Option(help="Pass verified events on, byte for byte, and answer what is answered.", metavar="URL"),
    ] = None,
    keys: KeyTexts = None,
    key_file: KeyFile = None,
    discover: DiscoverFrom = None,
    destination: Annotated[
        str | None, typer.Option(help="With --discover: whose keys, if not the default's.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Receive events and print a line for each, and for what cannot be believed the reason; Ctrl-C ends it.

    A verified event is answered 204, or with --forward-to as it is answered there; anything else is refused as a
    receiver does. Nothing is stored. With --json, `ringback verify` reads the lines again.

    Example: ringback listen --key whpk_… --any-audience --forward-to http://127.0.0.1:8000/airflow/completions
    """
    if (url is None) != any_audience:
        raise typer.BadParameter(
            "say which URL events must be addressed to, or --any-audience not to look at that", param_hint="--url"
        )
    place = parse_address(address)
    with receiver_errors_shown():
        from ringback_cli.forwarder import Forwarder
        from ringback_cli.listener import Listener
        from ringback_protocol import CallbackUrlError, parse_callback_url

        forwarder = None
        if forward_to is not None:
            try:
                parse_callback_url(forward_to)
            except CallbackUrlError as error:
                raise typer.BadParameter(error.problem, param_hint="--forward-to") from None
            forwarder = Forwarder(forward_to)
        stop = asyncio.Event()

        def tell(seen: Seen) -> None:
            try:
                print_json(seen.members()) if as_json else print_line(seen.line())
            except BrokenPipeError:  # as of `| head -1`, which has seen enough
                stop.set()

        listener = Listener(
            key_source(keys, key_file, discover, destination),
            url=url,
            forwarder=forwarder,
            tell=tell,
        )
        asyncio.run(_listen(listener, bound_socket(place), destination, stop))
    _leave_a_closed_output()


async def _listen(listener: Listener, bound: socket.socket, destination: str | None, stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = bound.getsockname()[:2]
    async with listener.open(destination or "default"), serving(listener, bound):
        print_line(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}/", err=True)
        await stop.wait()


def _leave_a_closed_output() -> None:
    """See to it that the interpreter, as it ends, does not fail over what nobody reads."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process is there
