"""Sign an event: Standard Webhooks headers over the raw body."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ringback_protocol._base64 import encode
from ringback_protocol.keys import SigningKey

__all__ = [
    "HEADER_ID",
    "HEADER_SIGNATURE",
    "HEADER_TIMESTAMP",
    "ID_FORM",
    "TIMESTAMP_FORM",
    "sign",
    "signed_content",
]

HEADER_ID = "webhook-id"
HEADER_TIMESTAMP = "webhook-timestamp"
HEADER_SIGNATURE = "webhook-signature"

# One spelling for one value, and no dot: with one, the signed content could be parted in another place.
ID_FORM = re.compile(r"[A-Za-z0-9_-]{1,128}")
TIMESTAMP_FORM = re.compile(r"0|[1-9][0-9]{0,11}")


def signed_content(event_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Return the bytes that are signed: ``id.timestamp.body`` (Standard Webhooks, "Signature scheme")."""
    return b"%b.%b.%b" % (event_id, timestamp, body)


def sign(event_id: str, body: bytes, *, keys: Sequence[SigningKey], timestamp: int) -> dict[str, str]:
    """Return the three headers of one delivery attempt.

    :param event_id: the event's id, the same on every attempt.
    :param body: the raw bytes that will be sent.
    :param keys: at least one, newest first; each adds a signature.
    :param timestamp: of this attempt, in whole Unix seconds.
    :raises ValueError: if there is no key, or a verifier would have to refuse the id or the timestamp.
    """
    if not keys:
        raise ValueError("nothing to sign with: keys is empty")
    stamp = str(timestamp)
    if not ID_FORM.fullmatch(event_id):
        raise ValueError("an event id is 1 to 128 letters, digits, '_' or '-'")
    if not TIMESTAMP_FORM.fullmatch(stamp):
        raise ValueError("a timestamp is whole Unix seconds")
    content = signed_content(event_id.encode("ascii"), stamp.encode("ascii"), body)
    return {
        HEADER_ID: event_id,
        HEADER_TIMESTAMP: stamp,
        HEADER_SIGNATURE: " ".join(f"{key.scheme},{encode(key.sign(content))}" for key in keys),
    }
