"""Sign an event: Standard Webhooks headers over the raw body."""

from __future__ import annotations

from collections.abc import Sequence

from ringback_protocol._base64 import encode
from ringback_protocol.keys import SigningKey

__all__ = ["HEADER_ID", "HEADER_SIGNATURE", "HEADER_TIMESTAMP", "sign", "signed_content"]

HEADER_ID = "webhook-id"
HEADER_TIMESTAMP = "webhook-timestamp"
HEADER_SIGNATURE = "webhook-signature"


def signed_content(event_id: str, timestamp: str, body: bytes) -> bytes:
    """Return the bytes that are signed: ``id.timestamp.body`` (Standard Webhooks, "Signature scheme")."""
    return b"%b.%b.%b" % (event_id.encode("ascii"), timestamp.encode("ascii"), body)


def sign(event_id: str, body: bytes, *, keys: Sequence[SigningKey], timestamp: int) -> dict[str, str]:
    """Return the three headers of one delivery attempt.

    :param event_id: the event's id, the same on every attempt.
    :param body: the raw bytes that will be sent.
    :param keys: at least one, newest first; each adds a signature.
    :param timestamp: of this attempt, in whole Unix seconds.
    """
    if not keys:
        raise ValueError("nothing to sign with: keys is empty")
    stamp = str(timestamp)
    content = signed_content(event_id, stamp, body)
    return {
        HEADER_ID: event_id,
        HEADER_TIMESTAMP: stamp,
        HEADER_SIGNATURE: " ".join(f"{key.scheme},{encode(key.sign(content))}" for key in keys),
    }
