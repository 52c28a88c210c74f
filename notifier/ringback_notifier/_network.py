"""Network backends under httpcore: no address that is not admitted, and one deadline for the whole exchange.

httpcore's own timeouts are per read and write: a server that sends a byte now and then holds a client for
ever.  Here every single step, name resolution included, is clamped to what is left until the deadline.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from ringback_notifier._guard import Admit
from ringback_notifier._resolver import ResolverBusy, aresolve, resolve

__all__ = ["AsyncBackend", "Backend", "Deadline"]

_WRITE_BYTES = 4_096
_SocketOptions = Iterable[tuple[Any, ...]] | None


class Deadline:
    """When everything must be over.

    :param at: on the clock of :func:`time.monotonic`, in seconds; it may be set anew for the next exchange.
    """

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    def left(self, error: type[httpcore.TimeoutException]) -> float:
        """Return the seconds that are left.

        :raises httpcore.TimeoutException: ``error``, if there are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise error("the deadline for the whole attempt has passed")
        return left


class Backend(httpcore.NetworkBackend):
    """For threads.

    :param admit: judges a host's addresses; what it raises, but for an ``OSError``, comes out as it is.
    """

    def __init__(self, *, admit: Admit, deadline: Deadline) -> None:
        self._admit = admit
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of a host's addresses that lets us."""
        left = self._deadline.left(httpcore.ConnectTimeout)
        try:
            addresses = self._admit(host, resolve(host, within=left))
        except OSError as error:
            raise _unresolved(error) from error
        failure: Exception | None = None
        for tried, address in enumerate(addresses):
            try:
                stream = self._backend.connect_tcp(
                    address,
                    port,
                    # An address that swallows packets must leave time for the next.
                    timeout=self._deadline.left(httpcore.ConnectTimeout) / (len(addresses) - tried),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: the stream beneath allows the timeout anew for everything that the socket takes.
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], self._deadline.left(httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """For an event loop, where whoever waits for the whole exchange cancels it at the deadline.

    :param admit: judges a host's addresses; what it raises, but for an ``OSError``, comes out as it is.
    """

    def __init__(self, *, admit: Admit, deadline: Deadline) -> None:
        self._admit = admit
        self._deadline = deadline
        self._backend = httpcore.AnyIOBackend()
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of a host's addresses that lets us."""
        left = self._deadline.left(httpcore.ConnectTimeout)
        try:
            addresses = self._admit(host, await aresolve(host, within=left))
        except OSError as error:
            raise _unresolved(error) from error
        failure: Exception | None = None
        for tried, address in enumerate(addresses):
            try:
                stream = await self._backend.connect_tcp(
                    address,
                    port,
                    timeout=self._deadline.left(httpcore.ConnectTimeout) / (len(addresses) - tried),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self._opened.append(stream)
                return stream
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def aclose(self) -> None:
        """Close what httpcore forgets: a connection that is cancelled in its TLS handshake stays open otherwise."""
        for stream in self._opened:
            await stream.aclose()


def _unresolved(error: OSError) -> Exception:
    if isinstance(error, ResolverBusy):
        return error
    kind = httpcore.ConnectTimeout if isinstance(error, TimeoutError) else httpcore.ConnectError
    return kind(str(error))
