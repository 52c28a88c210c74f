"""Requests that somebody captured: as HTTP has them, or as ``ringback listen --json`` prints them.  Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = ["Captured", "NotCaptured", "captured_headers", "parse_captured", "request_member"]

_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} \S+ HTTP/[0-9.]+")
_BLANK = re.compile(rb"\r?\n\r?\n")
_MOST = 1_000


class NotCaptured(ValueError):
    """That holds no request; the message says what would."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Captured:
    """A request as it came in.

    :param received_at: Unix seconds, if it is known.
    """

    headers: Sequence[tuple[str, str]]
    body: bytes
    received_at: float | None = None


class _Request(msgspec.Struct):
    headers: list[tuple[str, str]]
    body: str | None = None
    body_base64: bytes | None = None


class _Line(msgspec.Struct):
    request: _Request
    received_at: float | None = None


def parse_captured(content: bytes) -> list[Captured]:
    """Read one HTTP request, or JSON lines of any number.

    :raises NotCaptured: it is neither.
    """
    if content.lstrip()[:1] == b"{":
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) > _MOST:
            raise NotCaptured(f"more than {_MOST} lines")
        return [_of_line(number, line) for number, line in enumerate(lines, start=1)]
    blank = _BLANK.search(content)
    if blank is None:
        raise NotCaptured(
            "no blank line between headers and body; it must be a raw HTTP request, or what `ringback listen --json` "
            "prints"
        )
    head, body = content[: blank.start()], content[blank.end() :]
    if _REQUEST_LINE.match(head):
        head = head.partition(b"\n")[2]
    headers = captured_headers(head)
    if _is_chunked(body, headers):
        raise NotCaptured(
            "its body is still in chunks (Transfer-Encoding: chunked), which are no part of what was signed: capture "
            "the body behind the server, or put it together and give it with --headers and --body"
        )
    return [Captured(headers=headers, body=_cut(body, headers))]


def captured_headers(head: bytes) -> list[tuple[str, str]]:
    """Read lines of ``name: value``.

    :raises NotCaptured: one is none.
    """
    headers = []
    for line in head.splitlines():
        name, separator, value = line.partition(b":")
        if _REQUEST_LINE.fullmatch(line):
            continue
        if not separator or not name.strip():
            raise NotCaptured("a line of the headers is not name: value")
        headers.append((name.strip().decode("latin-1"), value.strip().decode("latin-1")))
    return headers


def request_member(headers: Sequence[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """Return what a JSON line says of a request: what is needed to verify it again, and no other header.

    The others may hold an ``Authorization``.
    """
    kept = [(name, value) for name, value in headers if name.lower().startswith("webhook-")]
    try:
        return {"headers": kept, "body": body.decode()}
    except UnicodeDecodeError:
        return {"headers": kept, "body_base64": base64.b64encode(body).decode()}


def _of_line(number: int, line: bytes) -> Captured:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NotCaptured(f"line {number} is not what `ringback listen --json` prints") from None
    request = found.request
    body = request.body_base64 if request.body is None else request.body.encode()
    return Captured(headers=request.headers, body=body or b"", received_at=found.received_at)


def _is_chunked(body: bytes, headers: Sequence[tuple[str, str]]) -> bool:
    """Tell whether a body has the sizes of its chunks in it; many programs show the header, but not the chunks."""
    said = any(name.lower() == "transfer-encoding" and "chunked" in value.lower() for name, value in headers)
    return said and re.match(rb"[0-9A-Fa-f]{1,16}[ \t]*(;[^\n]*)?\r?\n", body) is not None


def _cut(body: bytes, headers: Sequence[tuple[str, str]]) -> bytes:
    """Leave out what follows the body, such as the line break that an editor adds."""
    for name, value in headers:
        if name.lower() == "content-length" and re.fullmatch(r"[0-9]{1,7}", value):
            return body[: int(value)]
    return body
