"""What a request's head must be before its body is read.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ringback_protocol import MAX_EVENT_BYTES

__all__ = ["CONTENT_TYPES", "MAX_HEADERS", "MAX_HEADER_BYTES", "Refused", "check_head"]

CONTENT_TYPES = ("application/json", "application/cloudevents+json")
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
"""Of all names and values; a notifier sends some 500, and proxies add their own."""

_FRAMING = frozenset({b"content-type", b"content-encoding", b"content-length", b"transfer-encoding"})


class Refused(Exception):
    """A request is refused unread.

    :param status: of the answer.
    :param reason: a code, such as ``too_large``.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def check_head(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Return if the body may be read.

    :param headers: as they came, repetitions included.
    :raises Refused: the head is too large, contradicts itself, or announces what no event is.
    """
    found: dict[bytes, bytes] = {}
    size = 0
    for count, (name, value) in enumerate(headers, start=1):
        size += len(name) + len(value)
        if count > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise Refused(431, "headers_too_large")
        if (key := name.lower()) in _FRAMING:
            if key in found:
                raise Refused(400, "duplicate_header")  # two parsers might pick different ones
            found[key] = value
    if b"content-length" in found and b"transfer-encoding" in found:
        raise Refused(400, "malformed_header")  # where the body ends is a matter of opinion (RFC 9112, 6.3)
    content_type = found.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type.decode("latin-1") not in CONTENT_TYPES:
        raise Refused(415, "unsupported_media_type")
    if found.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Refused(415, "unsupported_encoding")  # what is signed are the bytes on the wire, and a bomb is small
    _check_length(found.get(b"content-length", b"0"))


def _check_length(length: bytes) -> None:
    if not length.isdigit():
        raise Refused(400, "malformed_header")
    # The digits are counted first: Python refuses to convert thousands of them.
    digits = length.lstrip(b"0") or b"0"
    if len(digits) > len(str(MAX_EVENT_BYTES)) or int(digits) > MAX_EVENT_BYTES:
        raise Refused(413, "too_large")
