"""httpcore's connections for one destination: guarded, or through its proxy; no redirects, no environment."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore

from ringback_notifier._destination import Destination
from ringback_notifier._guard import admit_all
from ringback_notifier._network import AsyncBackend, Backend, Deadline
from ringback_protocol import CallbackUrl

__all__ = ["async_connection_pool", "connection_pool", "http_url"]


def http_url(url: CallbackUrl) -> httpcore.URL:
    """Return what is dialled: the very parts that were allowed."""
    # Without the port that the scheme implies, so that a proxy is told the same authority as the receiver.
    return httpcore.URL(scheme=url.scheme, host=url.host, port=url.explicit_port, target=url.target)


@contextlib.contextmanager
def connection_pool(
    destination: Destination, *, context: ssl.SSLContext | None, deadline: Deadline
) -> Iterator[httpcore.ConnectionPool]:
    """Open a destination's connections for a while.

    :param context: for https; without it there is none.
    """
    proxied = destination.egress_proxy is not None
    backend = Backend(admit=admit_all if proxied else destination.guard.admit, deadline=deadline)
    pool = (
        httpcore.HTTPProxy(ssl_context=context, network_backend=backend, **_proxy_settings(destination))
        if proxied
        else httpcore.ConnectionPool(ssl_context=context, network_backend=backend)
    )
    with pool:
        yield pool


@contextlib.asynccontextmanager
async def async_connection_pool(
    destination: Destination, *, context: ssl.SSLContext | None, deadline: Deadline
) -> AsyncIterator[httpcore.AsyncConnectionPool]:
    """Open a destination's connections for a while; the same as :func:`connection_pool`, for an event loop."""
    proxied = destination.egress_proxy is not None
    backend = AsyncBackend(admit=admit_all if proxied else destination.guard.admit, deadline=deadline)
    pool = (
        httpcore.AsyncHTTPProxy(ssl_context=context, network_backend=backend, **_proxy_settings(destination))
        if proxied
        else httpcore.AsyncConnectionPool(ssl_context=context, network_backend=backend)
    )
    try:
        async with pool:
            yield pool
    finally:
        await backend.aclose()


def _proxy_settings(destination: Destination) -> dict[str, Any]:
    proxy = destination.egress_proxy
    assert proxy is not None
    return {"proxy_url": proxy.url, "proxy_auth": proxy.auth}
