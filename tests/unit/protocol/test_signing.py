"""Signing."""

from __future__ import annotations

import base64
import time
from datetime import datetime, timezone
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ringback_protocol import PrivateKey, Secret, SigningKey, parse_signing_keys, sign, verify_signature
from ringback_protocol.signing import signed_content

from .samples import ID, NOW, OTHER_SECRET, PRIVATE, PUBLIC, SECRET, VECTORS, b64, signed

ORACLES = [standardwebhooks.Webhook, svix.webhooks.Webhook]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["scheme"] for vector in VECTORS])
def test_the_published_vectors_come_out(vector: dict[str, str]) -> None:
    """We sign as the reference implementations do, byte for byte."""
    headers = sign(
        vector["webhook-id"],
        vector["body"].encode(),
        keys=parse_signing_keys([vector.get("private_key") or vector["key"]]),
        timestamp=int(vector["webhook-timestamp"]),
    )
    assert headers == {name: vector[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}


# Neither Python library knows v1a (svix delegates to standardwebhooks, which skips whatever is not v1): for
# Ed25519 the published vector above and the bare primitive below are the oracles.
@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("keys", [(SECRET,), (PRIVATE, SECRET), (OTHER_SECRET, PRIVATE, SECRET)])
def test_the_stock_libraries_accept_what_we_sign(oracle: Any, keys: tuple[SigningKey, ...]) -> None:
    """A receiver that has never heard of us verifies our requests, also while keys are rotated."""
    headers, body = signed(keys=keys, timestamp=int(time.time()))
    oracle(SECRET.reveal()).verify(body, headers)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("size", [24, 33, 64])
def test_we_accept_what_the_stock_libraries_sign(oracle: Any, size: int) -> None:
    """A sender that has never heard of us is understood."""
    secret = Secret("whsec_" + b64(bytes(range(size))))
    body = '{"test": "caf\u00e9"}'
    signature = oracle(secret.reveal()).sign(ID, datetime.fromtimestamp(NOW, tz=timezone.utc), body)
    headers = {"webhook-id": ID, "webhook-timestamp": str(NOW), "webhook-signature": signature}
    assert verify_signature(headers, body.encode(), keys=[secret], now=NOW) == ID


def test_an_ed25519_signature_is_the_bare_primitive() -> None:
    """Scheme ``v1a`` is Ed25519 over the signed content, nothing else."""
    headers, body = signed()
    scheme, _, encoded = headers["webhook-signature"].partition(",")
    assert scheme == "v1a"
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(str(PUBLIC).removeprefix("whpk_")))
    public.verify(base64.b64decode(encoded), f"{ID}.{NOW}.".encode() + body)


def test_the_signed_content_is_id_timestamp_and_raw_body() -> None:
    """The body is signed as bytes, whatever they are."""
    assert signed_content(b"msg_a", b"1", b"\x00\xff.{}") == b"msg_a.1.\x00\xff.{}"


def test_every_key_signs_newest_first() -> None:
    """Rotation needs several signatures in the order of the keys."""
    keys = (PRIVATE, SECRET, OTHER_SECRET)
    headers, body = signed(keys=keys)
    alone = [signed(body, keys=(key,))[0]["webhook-signature"] for key in keys]
    assert headers["webhook-signature"].split(" ") == alone


def test_a_retry_has_another_timestamp_and_signature_and_the_same_id() -> None:
    """Every attempt is signed afresh, under the same id."""
    first, body = signed()
    retry, _ = signed(body, timestamp=NOW + 5)
    assert first["webhook-id"] == retry["webhook-id"]
    assert first["webhook-timestamp"] != retry["webhook-timestamp"]
    assert first["webhook-signature"] != retry["webhook-signature"]


def test_nothing_is_sent_unsigned() -> None:
    """Without a key there is no request to sign."""
    with pytest.raises(ValueError, match="keys is empty"):
        sign(ID, b"{}", keys=[], timestamp=NOW)


@pytest.mark.parametrize("id", ["", "a.b", "a b", "a\r\nx-evil: 1", "caf\u00e9", "a" * 129, "a\n"])
def test_an_ambiguous_id_is_not_signed(id: str) -> None:
    """A dot would let the signed content be read in two ways, and a line break forge a header."""
    with pytest.raises(ValueError, match="event id"):
        sign(id, b"{}", keys=[SECRET], timestamp=NOW)


@pytest.mark.parametrize("timestamp", [-1, 1.5, 1e9, float("nan"), True, None, "01", "1 ", 10**12])
def test_a_timestamp_that_no_verifier_accepts_is_not_signed(timestamp: Any) -> None:
    """A mistake in the clock shows where it is made."""
    with pytest.raises(ValueError, match="timestamp"):
        sign(ID, b"{}", keys=[SECRET], timestamp=timestamp)


@pytest.mark.parametrize("key", [SECRET, PRIVATE])
@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe", b"x" * 20_000])
def test_what_we_sign_we_verify(key: Secret | PrivateKey, body: bytes) -> None:
    """Any body that fits the wire can be signed and verified."""
    verifier = key if isinstance(key, Secret) else key.public()
    headers, _ = signed(body, keys=(key,))
    assert verify_signature(headers, body, keys=[verifier], now=NOW) == ID
