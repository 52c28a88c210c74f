"""What a request's head must be before a byte of its body is read."""

from __future__ import annotations

import pytest

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._preconditions import MAX_HEADER_BYTES, MAX_HEADERS, Refused, check_head

JSON = (b"content-type", b"application/json")


def refusal(*headers: tuple[bytes, bytes]) -> tuple[int, str] | None:
    """Return why these headers are refused, or ``None`` if they are not."""
    try:
        check_head(headers)
    except Refused as refused:
        return refused.status, refused.reason
    return None


@pytest.mark.parametrize(
    "headers",
    [
        [JSON],
        [(b"Content-Type", b"Application/CloudEvents+JSON; charset=utf-8")],
        [JSON, (b"content-length", str(MAX_EVENT_BYTES).encode())],
        [JSON, (b"content-length", b"0" * 4_301 + b"2")],
        [JSON, (b"transfer-encoding", b"chunked")],
        [JSON, (b"Content-Encoding", b"Identity")],
        [JSON, *[(b"x-forwarded-for", b"192.0.2.1")] * 90],
    ],
    ids=["least", "cloudevent", "largest", "zeros", "chunked", "identity", "proxies"],
)
def test_what_a_notifier_and_its_proxies_send_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    """The limits are far from anything honest."""
    assert refusal(*headers) is None


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"application/jsonp", b"\xff", b"application/json, x"])
def test_other_content_is_unsupported(content_type: bytes) -> None:
    """A browser's form cannot ring, and neither can a request that says nothing."""
    assert refusal((b"content-type", content_type)) == (415, "unsupported_media_type")
    assert refusal() == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip", b""])
def test_compressed_body_is_unsupported(encoding: bytes) -> None:
    """Nothing is ever unpacked."""
    assert refusal(JSON, (b"content-encoding", encoding)) == (415, "unsupported_encoding")


@pytest.mark.parametrize("name", [b"content-type", b"Content-Length", b"content-encoding", b"transfer-encoding"])
def test_header_that_frames_the_body_must_not_repeat(name: bytes) -> None:
    """Even if both say the same: another parser on the way may have seen only one."""
    assert refusal((name, b"2"), (name.lower(), b"2")) == (400, "duplicate_header")


def test_two_ways_to_find_the_end_are_one_too_many() -> None:
    """What a proxy takes for the end of a body, we might take for a request."""
    assert refusal(JSON, (b"content-length", b"2"), (b"transfer-encoding", b"chunked")) == (400, "malformed_header")


@pytest.mark.parametrize("length", [b"many", b"-1", b"", b"\xb2", b"+2", b"2, 2", b"0x10", b" 2"])
def test_length_that_is_no_number_is_malformed(length: bytes) -> None:
    """Only digits count."""
    assert refusal(JSON, (b"content-length", length)) == (400, "malformed_header")


@pytest.mark.parametrize("length", [str(MAX_EVENT_BYTES + 1).encode(), b"9" * 4_301])
def test_announced_size_is_believed_when_it_is_too_large(length: bytes) -> None:
    """Not one byte of it is read."""
    assert refusal(JSON, (b"content-length", length)) == (413, "too_large")


@pytest.mark.parametrize(
    "junk",
    [
        [(b"x", b"")] * MAX_HEADERS,
        [(b"x", b"y" * MAX_HEADER_BYTES)],
        [(b"x" * MAX_HEADER_BYTES, b"")],
    ],
    ids=["many", "long value", "long name"],
)
def test_huge_head_is_refused(junk: list[tuple[bytes, bytes]]) -> None:
    """Whatever the server in front lets through."""
    assert refusal(JSON, *junk) == (431, "headers_too_large")
