"""A small server for a while: uvicorn, on a socket that is known to be ours before anything else begins."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import typer

from ringback_cli.problems import fail

__all__ = ["bound_socket", "parse_address", "serving"]

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")


def parse_address(text: str, option: str = "--listen") -> tuple[str, int]:
    """Read ``host:port``.

    :raises typer.BadParameter: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise typer.BadParameter(f"{text!r}: write host:port, such as 127.0.0.1:8787", param_hint=option)
    return found["v6"] or found["host"], int(found["port"])


def bound_socket(address: tuple[str, int], option: str = "--listen") -> socket.socket:
    """Take a port, or say why not.

    :raises typer.Exit: it is taken, or the address is not this machine's.
    """
    host, port = address
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no host"
        fail(f"{option} {host}:{port}: {why}; name another address")
    return bound


@asynccontextmanager
async def serving(app: Any, bound: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI application while the block runs; signals stay with whoever runs the event loop."""
    try:
        import uvicorn
    except ImportError:
        bound.close()
        fail("a receiver needs a server: pip install 'airflow-ringback[cli]'")

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=200,
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
            if task.done():
                await task
                fail("the server could not be started")
        yield
    finally:
        server.should_exit = True
        await task
        bound.close()
