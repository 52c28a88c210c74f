"""Canonical base64: one text for one value, so that a signature cannot be respelt."""

from __future__ import annotations

import base64
import binascii

__all__ = ["decode_canonical", "encode"]


def encode(raw: bytes) -> str:
    """Return standard, padded base64."""
    return base64.b64encode(raw).decode("ascii")


def decode_canonical(encoded: bytes) -> bytes | None:
    """Return the decoded bytes, or ``None`` unless ``encoded`` is exactly what :func:`encode` would give.

    Strictness follows RFC 4648 sections 3.2, 3.3 and 3.5: padding required, no other characters, no
    stray bits.
    """
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return raw if base64.b64encode(raw) == encoded else None
