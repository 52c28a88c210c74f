"""An ASGI front that treats a receiver's requests as a bad network and an overloaded server would."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
from pathlib import Path
from typing import Any

from chaos._wire import FAULTS, Fault, Wire

__all__ = ["Front"]


class Front:
    """Wrap a receiver's application.

    :param path: whose requests are mistreated; others pass.
    :param calm: a file; once it exists, everything passes.
    :param hang: seconds, more than the sender's patience.
    """

    def __init__(self, app: Any, *, path: str, wire: Wire, chance: random.Random, calm: Path, hang: float) -> None:
        self._app = app
        self._path = path
        self._wire = wire
        self._chance = chance
        self._calm = calm
        self._hang = hang

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        fault = self._pick()
        number = self._wire.requested(fault, body)
        if fault == "passed through":
            await self._app(scope, _replayed(body, receive), self._noting(number, send))
        elif fault == "answer dropped":
            await self._app(scope, _replayed(body, receive), self._noting(number, _nowhere))
            await _reset(send)
        elif fault == "receiver killed":
            await self._app(scope, _replayed(body, receive), self._noting(number, _kill_oneself))
        elif fault == "connection reset":
            await _reset(send)
        elif fault == "hung":
            await asyncio.sleep(self._hang)
            await _reset(send)
        else:
            await _answer(send, int(fault.removeprefix("answered ")))

    def _pick(self) -> Fault:
        if self._calm.exists():
            return "passed through"
        return self._chance.choices(list(FAULTS), list(FAULTS.values()))[0]

    def _noting(self, number: str, send: Any) -> Any:
        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._wire.answered(number, message["status"])
            await send(message)

        return noting


async def _read(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes, receive: Any) -> Any:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return messages.pop() if messages else await receive()

    return replayed


async def _nowhere(message: Any) -> None:
    pass


async def _kill_oneself(message: Any) -> None:
    """Die at the worst moment: the event is recorded, and its sender does not know."""
    os.kill(os.getpid(), signal.SIGKILL)


async def _answer(send: Any, status: int) -> None:
    headers = [(b"retry-after", b"1")] if status in (429, 503) else []
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _reset(send: Any) -> None:
    """Break the connection: ASGI has no way to, so this reaches through uvicorn's ``send`` for its transport."""
    transport: asyncio.Transport = send.__self__.transport
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        # Closed with nothing lingering, TCP sends RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0.05)  # uvicorn learns of it in its own time, and then expects no answer
