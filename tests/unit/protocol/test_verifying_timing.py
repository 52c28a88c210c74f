"""How long verifying takes says nothing about a secret: shown by what it does, not by a stop-watch."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from ringback_protocol import PrivateKey, Refusal, Secret, VerificationError, verify_event
from ringback_protocol.keys import PublicKey

from .samples import NOW, OTHER_PRIVATE, OTHER_PUBLIC, OTHER_SECRET, PRIVATE, PUBLIC, SECRET, URL, signed

KEYS = (SECRET, PUBLIC, OTHER_SECRET, OTHER_PUBLIC)


@pytest.mark.parametrize(
    "signers",
    [
        (SECRET, PRIVATE, OTHER_SECRET, OTHER_PRIVATE),
        (OTHER_PRIVATE, OTHER_SECRET, PRIVATE, SECRET),
        (Secret.generate(), PrivateKey.generate(), Secret.generate(), PrivateKey.generate()),
    ],
    ids=["first holds", "last holds", "none holds"],
)
def test_every_key_is_tried_on_every_signature_of_its_scheme(
    monkeypatch: pytest.MonkeyPatch, signers: tuple[Secret | PrivateKey, ...]
) -> None:
    """The work is the same wherever the good one is, and whether there is one."""
    tried: list[object] = []
    headers, body = signed(keys=signers)
    for kind, work in ((Secret, "sign"), (PublicKey, "verify")):
        real = getattr(kind, work)

        def spied(self: object, *arguments: bytes, real: Any = real) -> Any:
            tried.append(self)
            return real(self, *arguments)

        monkeypatch.setattr(kind, work, spied)
    try:
        verify_event(headers, body, keys=KEYS, audiences=[URL], now=NOW)
    except VerificationError as error:
        assert error.refusal is Refusal.BAD_SIGNATURE  # noqa: PT017
    assert [tried.count(key) for key in KEYS] == [2, 2, 2, 2]


@pytest.mark.parametrize("equal", [True, False])
def test_macs_are_compared_in_constant_time_and_by_nothing_else(monkeypatch: pytest.MonkeyPatch, equal: bool) -> None:
    """What ``hmac.compare_digest`` says is what counts, even when it lies."""
    compared: list[tuple[int, int]] = []

    def compare_digest(ours: bytes, theirs: bytes) -> bool:
        compared.append((len(ours), len(theirs)))
        return equal

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    headers, body = signed(keys=(OTHER_SECRET if equal else SECRET,))
    if equal:
        verify_event(headers, body, keys=[SECRET], audiences=[URL], now=NOW)
    else:
        with pytest.raises(VerificationError, match="bad_signature"):
            verify_event(headers, body, keys=[SECRET], audiences=[URL], now=NOW)
    assert compared == [(44, 44)]  # in base64
