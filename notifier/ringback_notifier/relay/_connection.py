"""One HTTP/1.1 connection to a receiver, on asyncio and h11, one exchange at a time.

Sending is most of what a relay does.  On httpcore's connections a relay delivered some 700 events per second
of CPU time; on these, which write a request with one system call and need no locks, 1,300.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import anyio
import h11

from ringback_notifier._exchange import settles
from ringback_notifier._guard import Admit
from ringback_notifier._resolver import aresolve

__all__ = ["Connection", "Reply", "connect"]

_MAX_HEAD_BYTES = 65_536
_MOST_INFORMATIONAL = 10
_SILENCE = "the server closed the connection without an answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer and the start of its body."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that is open, and can be used again and again while it is idle."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._changed: asyncio.Future[None] | None = None
        self._busy = False
        self._head: h11.Response | h11.InformationalResponse | None = None
        self._body = bytearray()
        self._most = self._informed = 0
        self._ended = False
        self._error: Exception | None = None
        self.idle_since = asyncio.get_running_loop().time()

    @property
    def usable(self) -> bool:
        """Whether it can take a request: the server may have closed it in the meantime."""
        return self._transport is not None and not self._transport.is_closing() and not self._busy

    async def exchange(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, most: int, linger: float
    ) -> Reply:
        """POST and return the answer; a cancellation leaves the connection unusable.

        :param target: path and query.
        :param headers: with ``host`` and ``content-length``.
        :param most: bytes of the answer's body to read.
        :param linger: seconds to wait for the body where the status has said it all; it may be missing then.
        :raises OSError: if the connection broke, or was closed before an answer began.
        :raises h11.ProtocolError: if the answer is no HTTP.
        """
        assert self._transport is not None
        self._busy, self._most, self._informed = True, most, 0
        send = self._http.send
        try:
            self._transport.write(
                send(h11.Request(method=b"POST", target=target, headers=list(headers)))
                + send(h11.Data(data=body))
                + send(h11.EndOfMessage())
            )
            while self._head is None:
                await self._change()
            if settles(self._head.status_code):
                with anyio.move_on_after(linger), contextlib.suppress(OSError, h11.ProtocolError):
                    await self._read_body(most)
            else:
                await self._read_body(most)
            return self._reply(most)
        finally:
            self._end()

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read an answer; whoever speaks unasked is not listened to."""
        if self._busy:
            self._read(data)
        else:
            self.close()

    def eof_received(self) -> bool:
        """Read the end of an answer that ends with the connection."""
        if self._busy:
            self._read(b"")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self._fail(error or ConnectionResetError(_SILENCE))

    # --- within

    def _read(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.InformationalResponse):
                    self._informed += 1
                    if event.status_code == 101:  # nobody asked for another protocol
                        self._head, self._ended = event, True
                    elif self._informed > _MOST_INFORMATIONAL:
                        self._fail(ConnectionError("the server sends one interim answer after the other"))
                        return
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) >= self._most:
                        break
                elif isinstance(event, h11.EndOfMessage):
                    self._ended = True
                elif isinstance(event, h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError as error:
            silent = not data and self._http.their_state in (h11.SEND_RESPONSE, h11.ERROR) and self._head is None
            self._fail(ConnectionResetError(_SILENCE) if silent else error)
        self._notify()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None

    async def _read_body(self, most: int) -> None:
        while not self._ended and len(self._body) < most:
            await self._change()

    def _reply(self, most: int) -> Reply:
        assert self._head is not None
        return Reply(self._head.status_code, list(self._head.headers), bytes(self._body[:most]))

    def _end(self) -> None:
        """Be ready for the next request, or closed."""
        # What came behind the answer must not be taken for the answer to the next request.
        clean = self._error is None and not self._http.trailing_data[0]
        if clean and set(self._http.states.values()) == {h11.DONE}:
            self._http.start_next_cycle()
            self._head, self._ended, self._busy = None, False, False
            self._body.clear()
            self.idle_since = asyncio.get_running_loop().time()
        else:
            self.close()


async def connect(host: str, port: int, *, admit: Admit, context: ssl.SSLContext | None, within: float) -> Connection:
    """Resolve a host and connect to the first of its admitted addresses that lets us.

    :param admit: judges the addresses; what it raises comes out as it is.
    :param context: for TLS, or ``None``.
    :param within: seconds; an address that swallows packets leaves time for the next.
    :raises OSError: if there is no address, or none lets us.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    addresses = admit(host, await aresolve(host, within=within))
    failure: OSError = OSError(f"{host} has no address")
    for tried, address in enumerate(addresses):
        share = (deadline - loop.time()) / (len(addresses) - tried)
        try:
            with anyio.fail_after(share):
                _, connection = await loop.create_connection(
                    Connection, address, port, ssl=context, server_hostname=host if context else None
                )
                return connection
        except OSError as error:  # a TimeoutError is one, too
            failure = error if str(error) else TimeoutError(f"{host} does not answer")
    raise failure
