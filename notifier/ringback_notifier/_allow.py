"""Which callback URLs a destination allows: scheme, host, port and path prefix, nothing cleverer.

A pattern is a URL without query: ``https://portal.example/airflow/``.  The host may start with ``*.``
for any name below it.  The path matches whole segments: ``/air`` does not allow ``/airflow``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ringback_notifier.errors import DestinationError

__all__ = ["AllowPattern", "allows", "parse_pattern", "redacted"]

_PORTS = {"https": 443, "http": 80}
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")  # urlsplit drops line breaks and tabs without a word
# The host and the port, if any: urlsplit also reads a host out of [::1]evil.example.
_AUTHORITY = re.compile(r"((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowPattern:
    """One entry of an allow-list."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    def matches(self, scheme: str, host: str, port: int, path: tuple[str, ...]) -> bool:
        """Tell whether a URL, taken apart the same way, is covered."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host.startswith("*."):
            if not host.endswith(self.host[1:]) or len(host) < len(self.host):
                return False
        elif host != self.host:
            return False
        return path[: len(self.path)] == self.path


def parse_pattern(text: object) -> AllowPattern:
    """Read one pattern.

    :raises DestinationError: saying what is wrong with it.
    """
    if not isinstance(text, str):
        raise DestinationError(f"allow: a pattern must be a text such as https://portal.example/, not {text!r}")
    parts = _take_apart(text)
    if parts is None or "?" in text or "#" in text:
        raise DestinationError(
            f"allow: {text!r} is no pattern; write scheme, host and optionally port and path, such as "
            "https://portal.example/airflow/ or https://*.example.com/"
        )
    scheme, host, port, path = parts
    return AllowPattern(scheme=scheme, host=host, port=port, path=path[:-1] if path and not path[-1] else path)


def allows(patterns: Iterable[AllowPattern], url: str) -> bool:
    """Tell whether any pattern covers the URL; a URL with dot segments is never covered."""
    parts = _take_apart(url)
    return parts is not None and "*" not in parts[1] and any(pattern.matches(*parts) for pattern in patterns)


def redacted(url: str) -> str:
    """Return the URL without credentials and query, which may hold secrets, for messages and logs."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(malformed URL)"
    if not parts.hostname:
        return "(malformed URL)"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}" + ("?…" if parts.query else "")


def _take_apart(url: str) -> tuple[str, str, int, tuple[str, ...]] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if parts.scheme not in _PORTS or authority is None or "\\" in url or not _VISIBLE_ASCII.fullmatch(url):
        return None
    segments = tuple(parts.path.split("/")[1:])
    if any(_is_dots(segment) for segment in segments):
        return None
    return parts.scheme, authority[1].lower(), _PORTS[parts.scheme] if port is None else port, segments


def _is_dots(segment: str) -> bool:
    """Whether a server may read this segment as one or more steps through the path."""
    plain = unquote(unquote(segment))
    return any(part.split(";")[0] in (".", "..") for part in re.split(r"[/\\]", plain))
