"""Mutated events, of which none may be believed; ``make forge`` tries a million."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chaos._forge_trial import MUTATIONS, TWO, try_forgeries
from ringback_protocol import Refusal


@pytest.mark.parametrize("seed", [1, 2])
def test_no_forgery_is_believed(seed: int) -> None:
    """Every kind of mutation is refused, for every reason but those that only a trusted signer can cause."""
    trial = try_forgeries(seed, 6_000)
    assert not trial.forged, trial.shown
    assert set(trial.refused) == {*MUTATIONS, TWO}
    assert sum(sum(kind.values()) for kind in trial.refused.values()) + sum(trial.accepted.values()) == 6_000
    reasons = {reason for kind in trial.refused.values() for reason in kind}
    assert {reason.value for reason in Refusal} - reasons == {"malformed_event", "unknown_version", "id_mismatch"}


def test_what_surrounds_a_good_signature_is_no_forgery() -> None:
    """Of the mutations that leave what was signed as it was, the verifier accepts those that it reads."""
    trial = try_forgeries(1, 3_000)
    around = "signature: others around it"
    assert 0 < trial.accepted[around] <= trial.unchanged[around]


def lenient(encoded: bytes) -> bytes | None:
    """Decode base64 as Python does by default."""
    try:
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4))
    except ValueError:
        return None


HOLES: dict[str, tuple[dict[str, Any], str]] = {
    "base64": ({"keys.decode_canonical": lenient}, "signature: base64 respelt"),
    "public key": ({"keys.PublicKey.verify": lambda *_: True}, "body: bits flipped"),
    "secret": ({"keys.Secret.verify_token": lambda *_: True}, "signature: public key as secret"),
    "scheme": (
        {"keys._of_scheme": lambda tag, token: token.partition(b",")[2]},
        "signature: schemes confused",
    ),
    "content": (
        dict.fromkeys(["signing.signed_content", "verifying.signed_content"], lambda id, stamp, body: body),
        "headers: another event's timestamp",
    ),
    "exception": ({"verifying.VerificationError": KeyError}, "headers: repeated"),
}


@pytest.mark.parametrize("hole", HOLES)
def test_hole_in_the_verifier_is_found(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    """Forgeries that are refused for want of trying would prove nothing."""
    made, kind = HOLES[hole]
    for place, value in made.items():
        monkeypatch.setattr(f"ringback_protocol.{place}", value)
    trial = try_forgeries(1, 3_000)
    assert any(found.startswith(kind) for found in trial.forged), trial.forged
