"""Which host a callback URL leads to, as breakers and leases name it.  Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["host_of"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_of(url: str) -> str:
    """Return ``host:port`` in lower case, ``[::1]:443`` for IPv6; an empty string for a URL without a host."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return ""
    host = parts.hostname
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
