"""Sending over connections that are kept for the next event."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache

import anyio
import h11

from ringback_notifier._addresses import AddressRules
from ringback_notifier._delivery import asend
from ringback_notifier._exchange import (
    FAILURES,
    MAX_ANSWER_BYTES,
    Delivery,
    answer_of,
    no_answer,
    request_headers,
    settles,
)
from ringback_notifier._policy import Answer, NoAnswer, Outcome
from ringback_notifier.relay._connection import Connection, connect
from ringback_protocol import CallbackUrl, parse_callback_url

__all__ = ["Sender"]

KEPT_ALIVE = 3.0
"""Seconds for which an idle connection is kept: less than any common server does."""
_LINGER = 0.2
"""Seconds to wait for the body of a success, so that the connection can be kept."""


_Line = tuple[str, ssl.SSLContext | None, AddressRules]
"""An origin, the TLS settings to speak to it with, and what was allowed when it was dialled."""


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
            if delivery.destination.egress_proxy is not None:
                return await asend(delivery, timeout=self._timeout, context=context)
            try:
                return await self._send(delivery, context)
            except (h11.ProtocolError, *FAILURES) as error:
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
        url = _taken_apart(delivery.url)
        destination = delivery.destination
        line = (url.origin, context if url.scheme == "https" else None, destination.addresses)
        connection = self._kept(line)
        if connection is not None:
            try:
                return await self._exchange(connection, line, url, delivery)
            except ConnectionError:
                # Its server closed it at this moment, as servers do with idle ones: that is no failed attempt.
                pass
        fresh = await connect(url.host, url.port, admit=destination.guard.admit, context=line[1], within=self._timeout)
        return await self._exchange(fresh, line, url, delivery)

    async def _exchange(self, connection: Connection, line: _Line, url: CallbackUrl, delivery: Delivery) -> Answer:
        headers = request_headers(delivery, url)
        target = url.target.encode("ascii")
        reply = await connection.exchange(target, headers, delivery.body, most=MAX_ANSWER_BYTES, linger=_LINGER)
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
def _taken_apart(url: str) -> CallbackUrl:
    return parse_callback_url(url)
