"""``ringback listen``: a receiver for the terminal, which shows what comes in and passes it on."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.problems import receiver_errors_shown
from ringback_cli.serving import bound_socket, parse_address, serving
from ringback_cli.verification_keys import DiscoverFrom, KeyFile, KeyTexts, key_source

if TYPE_CHECKING:
    import socket

    from ringback_cli.listener import Listener

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
        from ringback_cli.listener import Forwarder, Listener
        from ringback_protocol import CallbackUrlError, parse_callback_url

        forwarder = None
        if forward_to is not None:
            try:
                parse_callback_url(forward_to)
            except CallbackUrlError as error:
                raise typer.BadParameter(error.problem, param_hint="--forward-to") from None
            forwarder = Forwarder(forward_to)
        listener = Listener(
            key_source(keys, key_file, discover, destination),
            url=url,
            forwarder=forwarder,
            tell=(lambda seen: print_json(seen.members())) if as_json else (lambda seen: print_line(seen.line())),
        )
        asyncio.run(_listen(listener, bound_socket(place), destination))


async def _listen(listener: Listener, bound: socket.socket, destination: str | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = bound.getsockname()[:2]
    async with listener.open(destination or "default"), serving(listener, bound):
        print_line(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}/", err=True)
        await stop.wait()
