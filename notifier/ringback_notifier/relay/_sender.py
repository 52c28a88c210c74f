"""Sending over connections that are kept for the next event."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache

import anyio
import h11
import httpx

from ringback_notifier._exchange import (
    MAX_ANSWER_BYTES,
    Delivery,
    answer_of,
    no_answer,
    request_headers,
    settles,
)
from ringback_notifier._policy import Answer, NoAnswer, Outcome
from ringback_notifier.relay._connection import Connection, connect

__all__ = ["Sender"]

KEPT_ALIVE = 3.0
"""Seconds for which an idle connection is kept: less than any common server does."""
_LINGER = 0.2
"""Seconds to wait for the body of a success, so that the connection can be kept."""


@dataclass(frozen=True, slots=True)
class _Target:
    origin: str
    host: str
    port: int
    secure: bool
    path: bytes
    host_header: bytes


_Line = tuple[str, ssl.SSLContext | None]
"""An origin, and the TLS settings to speak to it with."""


class Sender:
    """Sends events and keeps connections; to be used from one event loop.

    :param timeout: seconds for all of an attempt: resolving, connecting, TLS, sending, the answer.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._idle: dict[_Line, list[Connection]] = {}
        self._closed = False

    async def send(self, delivery: Delivery, context: ssl.SSLContext) -> Outcome:
        """Make one attempt; nothing is raised but a cancellation.

        :param context: the TLS settings of the delivery's destination.
        """
        with anyio.move_on_after(self._timeout):
            try:
                return await self._send(delivery, context)
            except TimeoutError as error:
                return NoAnswer(error=f"timeout: {error}")
            except (OSError, h11.ProtocolError, httpx.InvalidURL, UnicodeError) as error:
                return no_answer(error)
        return NoAnswer(error="timeout: the deadline for the whole attempt has passed")

    def tidy(self) -> None:
        """Close connections that have been idle for long."""
        oldest = asyncio.get_running_loop().time() - KEPT_ALIVE
        for line, connections in list(self._idle.items()):
            kept = [connection for connection in connections if connection.usable and connection.idle_since > oldest]
            for connection in connections:
                if connection not in kept:
                    connection.close()
            if kept:
                self._idle[line] = kept
            else:
                del self._idle[line]

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()
        await asyncio.sleep(0)  # asyncio closes a socket in its next round

    async def _send(self, delivery: Delivery, context: ssl.SSLContext) -> Answer:
        target = _target(delivery.url)
        line = (target.origin, context if target.secure else None)
        connection = self._kept(line)
        if connection is not None:
            try:
                return await self._exchange(connection, line, target, delivery)
            except ConnectionError:
                # Its server closed it at this moment, as servers do with idle ones: that is no failed attempt.
                pass
        fresh = await connect(target.host, target.port, context=line[1], within=self._timeout)
        return await self._exchange(fresh, line, target, delivery)

    async def _exchange(self, connection: Connection, line: _Line, target: _Target, delivery: Delivery) -> Answer:
        headers = [(b"host", target.host_header), (b"content-length", b"%d" % len(delivery.body))]
        headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in request_headers(delivery).items()]
        reply = await connection.exchange(target.path, headers, delivery.body, most=MAX_ANSWER_BYTES, linger=_LINGER)
        if connection.usable:
            if self._closed:
                connection.close()
            else:
                self._idle.setdefault(line, []).append(connection)
        return answer_of(reply.status, reply.headers, b"" if settles(reply.status) else reply.body)

    def _kept(self, line: _Line) -> Connection | None:
        connections = self._idle.get(line)
        oldest = asyncio.get_running_loop().time() - KEPT_ALIVE
        while connections:
            connection = connections.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.close()
        return None


@lru_cache(maxsize=1_024)
def _target(url: str) -> _Target:
    """Take a URL apart, just as the final task and the callback do."""
    parts = httpx.URL(url)
    secure = parts.scheme == "https"
    host, port = parts.raw_host.decode("ascii"), parts.port or (443 if secure else 80)
    return _Target(f"{parts.scheme}://{host}:{port}", host, port, secure, parts.raw_path, parts.netloc)
