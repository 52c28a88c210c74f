"""Forgeries of a signature: by other keys, under other names, in other spellings."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from chaos._forge_scene import ID, SIGNATURE, TIMESTAMP, Forger, Mutation, Request
from ringback_protocol import SigningKey

__all__ = ["SIGNATURES"]

_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's group, "L" in RFC 8032."""


def take_another(request: Request, forger: Forger) -> Request:
    """Send a good signature of another body."""
    return request.having(signature=forger.other.value(SIGNATURE))


def by_another_tenant(request: Request, forger: Forger) -> Request:
    """Sign well, with a key that is not trusted here."""
    keys: Sequence[SigningKey] = forger.foreign
    key = forger.random.choice(keys)
    return request.having(signature=_token(key.scheme.encode(), key.sign(_content(request))))


def public_key_as_secret(request: Request, forger: Forger) -> Request:
    """Take what everybody knows for the secret of an HMAC, in one of its forms; or no secret at all."""
    text = str(forger.public).encode()
    known = [text, text.removeprefix(b"whpk_"), base64.b64decode(text.removeprefix(b"whpk_")), b"", b"\x00" * 32]
    return request.having(signature=_mac(forger.random.choice(known), _content(request)))


def confuse_schemes(request: Request, forger: Forger) -> Request:
    """Give each signature the name of another scheme, or of none."""
    names = [b"v1", b"v1a", b"V1A", b"v2", b"v1b", b"", b"none", b"v1,v1a", b"HMAC"]
    tokens = [token.partition(b",") for token in request.value(SIGNATURE).split(b" ")]
    forged = [forger.random.choice([name for name in names if name != old]) + b"," + rest for old, _, rest in tokens]
    return request.having(signature=b" ".join(forged))


def shift_by_the_order(request: Request, forger: Forger) -> Request:
    """Add multiples of L to S, which a careless verifier takes for the same signature; or negate it."""
    forged = []
    for scheme, raw in _signatures(request):
        if scheme == b"v1a" and len(raw) == 64:
            scalar = int.from_bytes(raw[32:], "little")
            shifted = forger.random.choice([scalar + _ORDER * n for n in range(1, 15)] + [_ORDER - scalar])
            forged.append(_token(scheme, raw[:32] + (shifted % 2**256).to_bytes(32, "little")))
    return request.having(signature=b" ".join(forged) or b"v1a,")


def respell(request: Request, forger: Forger) -> Request:
    """Write the same bytes in a base64 that is not canonical."""
    forged = []
    for scheme, raw in _signatures(request):
        text = base64.b64encode(raw)
        padding = text[len(text.rstrip(b"=")) :]
        core = text[: len(text) - len(padding)]
        stray = core[:-1] + bytes([_next_in_alphabet(core[-1])]) + padding if core else b"="
        spellings = [core, text + b"=", core[:8] + b"\n" + core[8:] + padding, b"=" + text, stray, text + b"AAAA"]
        spellings += [raw.hex().encode(), base64.b32encode(raw), text.lower(), base64.b85encode(raw)]
        if (safe := base64.urlsafe_b64encode(raw)) != text:
            spellings.append(safe)
        forged.append(scheme + b"," + forger.random.choice(spellings))
    return request.having(signature=b" ".join(forged) or b",")


def make_up(request: Request, forger: Forger) -> Request:
    """Send zeros, noise, the neutral element, or a part of the signature."""
    identity = b"\x01" + b"\x00" * 63
    signature = next((raw for _, raw in _signatures(request)), b"")
    made = [b"", b"\x00" * 64, b"\x00" * 32, b"\xff" * 64, identity, forger.random.randbytes(64), signature[:16]]
    made += [signature[:32] + b"\x00" * 32, signature[::-1], signature + signature]
    return request.having(signature=_token(forger.random.choice([b"v1", b"v1a"]), forger.random.choice(made)))


def sign_less(request: Request, forger: Forger) -> Request:
    """Let another tenant's key, or a hash without a key, sign something like the content."""
    event_id, stamp, body = request.value(ID), request.value(TIMESTAMP), request.body
    like = forger.random.choice([body, stamp + b"." + body, event_id + b"." + body, event_id + stamp + body])
    token = forger.random.choice([_mac(b"", like), _token(b"v1", hashlib.sha256(like).digest())])
    return request.having(signature=token)


def surround(request: Request, forger: Forger) -> Request:
    """Put other signatures around the good ones; where those remain among the first eight, all is well."""
    others = [*forger.other.value(SIGNATURE).split(b" "), _mac(b"", b""), b"", b"v1", b"v1,", b"v1a,====", b"x" * 300]
    before, after = (forger.random.choices(others, k=forger.random.choice([0, 1, 5, 9])) for _ in range(2))
    return request.having(signature=b" ".join([*before, request.value(SIGNATURE), *after]))


def _content(request: Request) -> bytes:
    return b".".join([request.value(ID), request.value(TIMESTAMP), request.body])


def _signatures(request: Request) -> list[tuple[bytes, bytes]]:
    found = []
    for token in request.value(SIGNATURE).split(b" "):
        scheme, _, text = token.partition(b",")
        try:
            found.append((scheme, base64.b64decode(text)))
        except ValueError:  # another mutation was here before
            continue
    return found


def _token(scheme: bytes, raw: bytes) -> bytes:
    return scheme + b"," + base64.b64encode(raw)


def _mac(secret: bytes, content: bytes) -> bytes:
    return _token(b"v1", hmac.digest(secret, content, "sha256"))


def _next_in_alphabet(character: int) -> int:
    """Return a character whose last bit differs: where padding follows, it decodes to the same bytes."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(character) ^ 1]


SIGNATURES: dict[str, Mutation] = {
    "signature: of another body": take_another,
    "signature: another tenant's": by_another_tenant,
    "signature: public key as secret": public_key_as_secret,
    "signature: schemes confused": confuse_schemes,
    "signature: S + n L": shift_by_the_order,
    "signature: base64 respelt": respell,
    "signature: made up": make_up,
    "signature: of less": sign_less,
    "signature: others around it": surround,
}
