"""Keys of the two Standard Webhooks schemes; the prefix decides the algorithm, never the sender.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md,
"Signature scheme".
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringback_protocol._base64 import decode_canonical, encode
from ringback_protocol.errors import KeyFormatError

__all__ = [
    "PrivateKey",
    "PublicKey",
    "Secret",
    "SigningKey",
    "VerificationKey",
    "parse_signing_keys",
    "parse_verification_keys",
]

_SECRET_BYTES = range(24, 65)
_HMAC_BLOCK = 64
_SMALL_ORDER_Y = frozenset(
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""The y coordinates of the points whose order divides 8; with such a key, signatures can be made up."""


class _Hidden:
    """A value object that neither shows nor pickles what it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not picklable: keys stay where they were loaded")


class Secret(_Hidden):
    """A shared secret (``whsec_``) for HMAC-SHA256, scheme ``v1``: it signs and it verifies.

    :param text: ``whsec_`` and the base64 of 24 to 64 bytes.
    :raises KeyFormatError: if it is anything else.
    """

    __slots__ = ("_inner", "_outer", "_raw")
    prefix = "whsec_"
    scheme = "v1"

    def __init__(self, text: str) -> None:
        self._raw = _decode(text, self.prefix, _SECRET_BYTES)
        # What hashing the key alone comes to, once for all messages (RFC 2104, section 4); it fits into one block.
        block = self._raw.ljust(_HMAC_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    @classmethod
    def generate(cls) -> Secret:
        """Make a new random secret of 32 bytes."""
        return cls(cls.prefix + encode(secrets.token_bytes(32)))

    def reveal(self) -> str:
        """Return the textual key, for the one moment in which it is handed to its owner."""
        return self.prefix + encode(self._raw)

    def sign(self, content: bytes) -> bytes:
        """Return the 32-byte MAC of the signed content (RFC 2104)."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return outer.digest()

    def verify(self, content: bytes, signature: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.sign(content), signature)

    def verify_token(self, content: bytes, token: bytes) -> bool:
        """Tell whether ``v1,<base64>`` signs this content, in its one spelling; compare in constant time."""
        encoded = _of_scheme(b"v1,", token)
        if encoded is None:
            return False
        return hmac.compare_digest(binascii.b2a_base64(self.sign(content), newline=False), encoded)


class PrivateKey(_Hidden):
    """An Ed25519 private key (``whsk_``), scheme ``v1a``: it signs.

    :param text: ``whsk_`` and the base64 of 64 bytes, seed then public half.
    :raises KeyFormatError: if it is anything else, or the halves do not belong together.
    """

    __slots__ = ("_key", "_raw")
    prefix = "whsk_"
    scheme = "v1a"

    def __init__(self, text: str) -> None:
        raw = _decode(text, self.prefix, range(64, 65))
        self._key = Ed25519PrivateKey.from_private_bytes(raw[:32])
        if not hmac.compare_digest(self._key.public_key().public_bytes_raw(), raw[32:]):
            raise KeyFormatError("whsk_ key: its public half does not belong to its private half")
        self._raw = raw

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a new random key pair."""
        key = Ed25519PrivateKey.generate()
        return cls(cls.prefix + encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()))

    def reveal(self) -> str:
        """Return the textual key, for the one moment in which it is handed to its owner."""
        return self.prefix + encode(self._raw)

    def public(self) -> PublicKey:
        """Return the half that receivers need."""
        return PublicKey(PublicKey.prefix + encode(self._raw[32:]))

    def sign(self, content: bytes) -> bytes:
        """Return the 64-byte signature of the signed content."""
        return self._key.sign(content)


class PublicKey:
    """An Ed25519 public key (``whpk_``), scheme ``v1a``: it verifies, and is no secret.

    :param text: ``whpk_`` and the base64 of 32 bytes.
    :raises KeyFormatError: if it is anything else, or a point of small order (RFC 8032 does not refuse those),
        such as the placeholder ``whpk_AAAA…``.
    """

    __slots__ = ("_key", "_text")
    prefix = "whpk_"
    scheme = "v1a"

    def __init__(self, text: str) -> None:
        raw = _decode(text, self.prefix, range(32, 33))
        if int.from_bytes(raw, "little") % (1 << 255) in _SMALL_ORDER_Y:
            raise KeyFormatError("whpk_ key: a point of small order, under which anybody can sign")
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self._text = text

    def verify(self, content: bytes, signature: bytes) -> bool:
        """Tell whether the private half signed this content."""
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    def verify_token(self, content: bytes, token: bytes) -> bool:
        """Tell whether ``v1a,<base64>`` signs this content, in its one spelling."""
        encoded = _of_scheme(b"v1a,", token)
        signature = None if encoded is None else decode_canonical(encoded)
        return signature is not None and self.verify(content, signature)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"PublicKey({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


SigningKey = Secret | PrivateKey
VerificationKey = Secret | PublicKey


def parse_signing_keys(texts: str | Iterable[str]) -> tuple[SigningKey, ...]:
    """Parse the keys that sign, newest first.

    :param texts: ``whsk_`` and ``whsec_`` keys, as a list or as one text with white space between them.
    :raises KeyFormatError: if there is none, or one is malformed or can only verify.
    """
    return tuple(_signing_key(text) for text in _split(texts))


def parse_verification_keys(
    keys: str | VerificationKey | Iterable[str | VerificationKey],
) -> tuple[VerificationKey, ...]:
    """Parse the keys that verify.

    :param keys: ``whpk_`` and ``whsec_`` keys, as objects or texts.
    :raises KeyFormatError: if there is none, or one is malformed or a private key.
    """
    if isinstance(keys, Secret | PublicKey):
        keys = [keys]
    elif isinstance(keys, str):
        keys = _split(keys)
    parsed = tuple(key if isinstance(key, Secret | PublicKey) else _verification_key(key) for key in keys)
    if not parsed:
        raise KeyFormatError("no key given: at least one whpk_ or whsec_ key is needed")
    return parsed


def _signing_key(text: object) -> SigningKey:
    if isinstance(text, str):
        if text.startswith(PrivateKey.prefix):
            return PrivateKey(text)
        if text.startswith(Secret.prefix):
            return Secret(text)
        if text.startswith(PublicKey.prefix):
            raise KeyFormatError("a whpk_ key can only verify: signing needs its whsk_ half")
    raise KeyFormatError("a signing key starts with whsk_ (Ed25519) or whsec_ (HMAC)")


def _verification_key(text: object) -> VerificationKey:
    if isinstance(text, str):
        if text.startswith(PublicKey.prefix):
            return PublicKey(text)
        if text.startswith(Secret.prefix):
            return Secret(text)
        if text.startswith(PrivateKey.prefix):
            raise KeyFormatError("a whsk_ key must not leave the sender: a receiver needs its whpk_ half")
    raise KeyFormatError("a verification key starts with whpk_ (Ed25519) or whsec_ (HMAC)")


def _split(texts: str | Iterable[str]) -> list[str]:
    parts = texts.split() if isinstance(texts, str) else list(texts)
    if not parts:
        raise KeyFormatError("no key given: make one with `ringback keys new`")
    return parts


def _of_scheme(tag: bytes, token: bytes) -> bytes | None:
    """Return the base64 of a signature, if it is of this scheme."""
    return token[len(tag) :] if token.startswith(tag) else None


def _decode(text: str, prefix: str, sizes: range) -> bytes:
    if not isinstance(text, str) or not text.startswith(prefix):
        raise KeyFormatError(f"the key does not start with {prefix}")
    try:
        raw = decode_canonical(text[len(prefix) :].encode("ascii"))
    except UnicodeEncodeError:
        raw = None
    if raw is None:
        raise KeyFormatError(f"{prefix} key: what follows the prefix is not canonical base64")
    if len(raw) not in sizes:
        wanted = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
        raise KeyFormatError(f"{prefix} key: {len(raw)} bytes, but it must have {wanted}")
    return raw
