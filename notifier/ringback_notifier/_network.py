"""A synchronous httpx transport that keeps to one deadline for the whole exchange.

httpx's own timeouts are per read and write: a server that sends a byte now and then holds a client for
ever.  Here the network backend under the connection clamps every single step, name resolution
included, to what is left until the deadline.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

__all__ = ["DeadlineTransport"]

_MAX_ADDRESSES = 3
_WRITE_BYTES = 4_096
_SocketOptions = Iterable[tuple[Any, ...]] | None


class DeadlineTransport(httpx.BaseTransport):
    """Send over fresh connections, and be done when the deadline has come.

    :param ssl_context: for https.
    :param deadline: on the clock of :func:`time.monotonic`, in seconds.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext, deadline: float) -> None:
        backend = _DeadlineBackend(deadline)
        self._pool = httpcore.ConnectionPool(ssl_context=ssl_context, network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; errors come as httpx's own."""
        with _httpx_errors():
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.read(),
                )
            )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


@contextlib.contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.TimeoutException(str(error) or "deadline passed") from error
    except httpcore.NetworkError as error:
        raise httpx.ConnectError(str(error)) from error
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise httpx.RemoteProtocolError(str(error)) from error


class _DeadlineBackend(httpcore.NetworkBackend):
    def __init__(self, deadline: float) -> None:
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
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        addresses = _resolve(host, port, _left(self._deadline, httpcore.ConnectTimeout))[:_MAX_ADDRESSES]
        for tried, address in enumerate(addresses):
            try:
                stream = self._backend.connect_tcp(
                    address,
                    port,
                    # An address that swallows packets must leave time for the next.
                    timeout=_left(self._deadline, httpcore.ConnectTimeout) / (len(addresses) - tried),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: the stream beneath allows the timeout anew for everything that the socket takes.
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], _left(self._deadline, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _left(deadline: float, error: type[httpcore.TimeoutException]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the deadline for the whole attempt has passed")
    return left


def _resolve(host: str, port: int, timeout: float) -> list[str]:
    """Return the addresses of a host, giving up on a resolver that hangs.

    ``getaddrinfo`` cannot be interrupted, so it runs in a thread that nobody waits for.
    """
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))
        else:
            answers.put(list(dict.fromkeys(str(info[4][0]) for info in found)))

    threading.Thread(target=ask, name="ringback-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"{host} could not be resolved in time") from None
    if isinstance(answer, OSError):
        raise httpcore.ConnectError(f"{host} cannot be resolved: {answer.strerror or answer}") from answer
    return answer
