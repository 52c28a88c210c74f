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
from ringback_protocol import CallbackUrl, CallbackUrlError, parse_callback_url

__all__ = ["AllowPattern", "allows", "covers", "parse_pattern", "redacted"]

_WILDCARD = re.compile(r"([A-Za-z]+://)\*\.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowPattern:
    """One entry of an allow-list.

    :param host: a name, an address, or ``*.`` and a name.
    :param path: its segments.
    """

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    def matches(self, scheme: str, host: str, port: int, path: tuple[str, ...]) -> bool:
        """Tell whether a URL, taken apart the same way, is covered."""
        return (
            (scheme, port) == (self.scheme, self.port)
            and covers(self.host, host)
            and path[: len(self.path)] == self.path
        )


def covers(name: str, host: str) -> bool:
    """Tell whether a name, or ``*.`` and a name for all below it, is that of a host."""
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) >= len(name)
    return host == name


def parse_pattern(text: object) -> AllowPattern:
    """Read one pattern.

    :raises DestinationError: saying what is wrong with it.
    """
    if not isinstance(text, str):
        raise DestinationError(f"allow: a pattern must be a text such as https://portal.example/, not {text!r}")
    below = _WILDCARD.match(text)
    try:
        url = parse_callback_url(f"{below[1]}{text[below.end() :]}" if below else text)
    except CallbackUrlError as error:
        raise _no_pattern(text, f"it {error.problem}") from None
    segments = _segments(url)
    if segments is None or "?" in url.target:
        raise _no_pattern(text, "it has dot segments or a query")
    if below and url.address is not None:
        raise _no_pattern(text, "there is nothing below an address")
    return AllowPattern(
        scheme=url.scheme,
        host=f"*.{url.host}" if below else url.host,
        port=url.port,
        path=segments[:-1] if segments and not segments[-1] else segments,
    )


def allows(patterns: Iterable[AllowPattern], url: str) -> bool:
    """Tell whether any pattern covers the URL; a URL with dot segments is never covered."""
    try:
        parts = parse_callback_url(url)
    except CallbackUrlError:
        return False
    segments = _segments(parts)
    return segments is not None and any(
        pattern.matches(parts.scheme, parts.host, parts.port, segments) for pattern in patterns
    )


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


def _no_pattern(text: str, why: str) -> DestinationError:
    shown = repr(text) if "@" not in text else "a URL with credentials"
    return DestinationError(
        f"allow: {shown} is no pattern: {why}; write scheme, host and optionally port and path, such as "
        "https://portal.example/airflow/ or https://*.example.com/"
    )


def _segments(url: CallbackUrl) -> tuple[str, ...] | None:
    """Return the segments of a path, or ``None`` if a server might step through them to another one."""
    segments = tuple(url.target.partition("?")[0].split("/")[1:])
    return None if any(_is_dots(segment) for segment in segments) else segments


def _is_dots(segment: str) -> bool:
    """Whether a server may read this segment as one or more steps through the path."""
    plain = unquote(unquote(segment))
    return any(part.split(";")[0] in (".", "..") for part in re.split(r"[/\\]", plain))
