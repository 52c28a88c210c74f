"""Verify an event: bytes and headers in, an event or one kind of error out.

Pure and total: no clock, no network, and nothing but :class:`VerificationError` ever escapes, whatever
bytes and headers arrive.  The order is cheap first, and nothing is parsed that is not signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec

from ringback_protocol.errors import Refusal, VerificationError
from ringback_protocol.event import (
    DATASCHEMA,
    MAX_EVENT_BYTES,
    TYPE_OF_STATE,
    CompletionEvent,
    decode_without_id_form,
)
from ringback_protocol.keys import VerificationKey
from ringback_protocol.signing import (
    HEADER_ID,
    HEADER_SIGNATURE,
    HEADER_TIMESTAMP,
    ID_FORM,
    TIMESTAMP_FORM,
    signed_content,
)

__all__ = ["DEFAULT_TOLERANCE", "Headers", "verify_event", "verify_signature"]

DEFAULT_TOLERANCE = timedelta(minutes=5)

Headers = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str | bytes, str | bytes]]

_MAX_SIGNATURES = 8
_MAX_SIGNATURE_CHARS = 2_048
_WANTED = (HEADER_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE)
_WANTED_BYTES = tuple(name.encode("ascii") for name in _WANTED)
_ID = re.compile(ID_FORM.pattern.encode("ascii"))
_TIMESTAMP = re.compile(TIMESTAMP_FORM.pattern.encode("ascii"))


class _Version(msgspec.Struct):
    dataschema: str


def verify_event(
    headers: Headers,
    body: bytes,
    *,
    keys: Sequence[VerificationKey],
    audiences: Iterable[str],
    now: float,
    tolerance: timedelta = DEFAULT_TOLERANCE,
) -> CompletionEvent:
    """Return the event that ``body`` carries, once everything about it holds.

    :param headers: of the request; names in any case, text or bytes.
    :param body: the raw bytes as received.
    :param keys: any one of them may have signed.
    :param audiences: the callback URLs that this receiver answers to, byte for byte.
    :param now: Unix seconds.
    :param tolerance: how far the signature's timestamp may be from ``now``, in either direction.
    :raises VerificationError: with a ``reason`` and a ``status``, and nothing else.
    """
    raw = _raw(body)
    event_id = _verified_id(headers, raw, keys, now, tolerance)
    event = _decode(raw)
    if event.id != event_id:
        raise VerificationError(Refusal.ID_MISMATCH)
    if event.audience not in tuple(audiences):
        raise VerificationError(Refusal.WRONG_AUDIENCE)
    return event


def verify_signature(
    headers: Headers,
    body: bytes,
    *,
    keys: Sequence[VerificationKey],
    now: float,
    tolerance: timedelta = DEFAULT_TOLERANCE,
) -> str:
    """Check that a trusted key signed these bytes just now, and return the signed id.

    Source: Standard Webhooks, "Verifying webhook authenticity".  The parameters are those of
    :func:`verify_event`.

    :raises VerificationError: if a header is missing, repeated or not canonical, the body too large, the
        timestamp outside the tolerance, or no signature by any key holds.
    """
    return _verified_id(headers, _raw(body), keys, now, tolerance)


def _verified_id(
    headers: Headers, raw: bytes, keys: Sequence[VerificationKey], now: float, tolerance: timedelta
) -> str:
    if len(raw) > MAX_EVENT_BYTES:
        raise VerificationError(Refusal.TOO_LARGE)
    event_id, timestamp, signatures = _served_headers(headers) or _signature_headers(headers)
    if not _ID.fullmatch(event_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise VerificationError(Refusal.MALFORMED_HEADER)
    if len(signatures) > _MAX_SIGNATURE_CHARS:
        raise VerificationError(Refusal.MALFORMED_HEADER)
    age, allowed = now - int(timestamp), tolerance.total_seconds()
    # Written so that a clock gone mad (NaN) refuses too.
    if not age <= allowed:
        raise VerificationError(Refusal.TIMESTAMP_TOO_OLD)
    if not age >= -allowed:
        raise VerificationError(Refusal.TIMESTAMP_TOO_NEW)
    if not _any_holds(signatures, signed_content(event_id, timestamp, raw), keys):
        raise VerificationError(Refusal.BAD_SIGNATURE)
    return str(event_id, "ascii")


def _any_holds(signatures: bytes, content: bytes, keys: Sequence[VerificationKey]) -> bool:
    """Try every key on every signature of its scheme, without stopping at the first that holds."""
    held = False
    for token in signatures.split(b" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]:
        for key in keys:
            held |= key.verify_token(content, token)
    return held


def _served_headers(headers: Headers) -> tuple[bytes, bytes, bytes] | None:
    """Return the three headers if all is as ASGI servers hand it over, pairs of bytes, and nothing is amiss.

    It refuses nothing: whatever is unusual is left to :func:`_signature_headers`, which takes ten times as long.
    """
    if type(headers) is not list:
        return None
    try:
        found = dict(headers)
        names = b" ".join(found)
    except Exception:  # whatever a stranger's objects make of it
        return None
    # A name that comes twice, or in two cases, is for the long way to find.
    if len(found) != len(headers) or names.lower() != names:
        return None
    id_, timestamp, signature = map(found.get, _WANTED_BYTES)
    if type(id_) is bytes and type(timestamp) is bytes and type(signature) is bytes and signature.isascii():
        return id_, timestamp, signature
    return None


def _signature_headers(headers: Headers) -> tuple[bytes, bytes, bytes]:
    found: dict[str, bytes] = {}
    for name, value in _pairs(headers):
        if name is None or (key := name.lower()) not in _WANTED:
            continue
        if key in found:
            raise VerificationError(Refusal.DUPLICATE_HEADER)
        if value is None:
            raise VerificationError(Refusal.MALFORMED_HEADER)
        found[key] = value.encode("ascii")
    try:
        return found[HEADER_ID], found[HEADER_TIMESTAMP], found[HEADER_SIGNATURE]
    except KeyError:
        raise VerificationError(Refusal.MISSING_HEADER) from None


def _pairs(headers: Any) -> list[tuple[str | None, str | None]]:
    """Return name and value pairs of whatever a framework calls headers; ``None`` is what is not ASCII."""
    with suppress(Exception):  # whatever iterating over a stranger's object raises, it is a refusal
        pairs = getattr(headers, "items", lambda: headers)()
        return [(_text(name), _text(value)) for name, value in pairs]
    raise VerificationError(Refusal.MALFORMED_HEADER)


def _text(value: object) -> str | None:
    """Return an ASCII text, or ``None``; of a subclass, the plain text that it holds."""
    if isinstance(value, bytes | bytearray):
        value = str(value, "latin-1")
    return text if isinstance(value, str) and (text := str.__str__(value)).isascii() else None


def _raw(body: object) -> bytes:
    """Return the very bytes of a body once, so that what is verified is what is parsed."""
    if type(body) is bytes:
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        with suppress(Exception):
            return memoryview(body).tobytes()
    raise VerificationError(Refusal.MALFORMED_EVENT)


def _decode(body: bytes) -> CompletionEvent:
    try:
        event = decode_without_id_form(body)
    except Exception:  # whatever a decoder makes of hostile bytes, it is a refusal
        event = None
    if event is None:
        raise VerificationError(_why_undecodable(body))
    if TYPE_OF_STATE[event.data.state] != event.type:
        raise VerificationError(Refusal.MALFORMED_EVENT)
    return event


def _why_undecodable(body: bytes) -> Refusal:
    try:
        version = msgspec.json.decode(body, type=_Version).dataschema
    except Exception:
        return Refusal.MALFORMED_EVENT
    return Refusal.MALFORMED_EVENT if version == DATASCHEMA else Refusal.UNKNOWN_VERSION
