"""Show forgeries to the verifier, and judge what it makes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaos._forge_body import BODIES
from chaos._forge_headers import HEADERS
from chaos._forge_scene import ID, SIGNATURE, TIMESTAMP, URL, Forger, Mutation, Request, forger
from chaos._forge_signature import SIGNATURES
from ringback_protocol import DEFAULT_TOLERANCE, VerificationError, verify_event

__all__ = ["MUTATIONS", "Trial", "is_still_what_was_signed", "try_forgeries"]

MUTATIONS: Mapping[str, Mutation] = {**BODIES, **HEADERS, **SIGNATURES}
TWO = "two of these at once"

_SIGNATURES_READ = 8
"""A verifier may stop reading there; what it must not do is to believe anything that is not among the signed."""
_SHOWN = 5


@dataclass
class Trial:
    """What became of all.

    :param refused: how often for which reason, by kind of mutation.
    :param unchanged: mutations that were none: what is left is what was signed, for us, and fresh; by kind.
    :param accepted: how many of those were accepted, which is right.
    :param forged: what must not be: a forgery that was believed, or an exception that is not ours.
    """

    refused: dict[str, Counter[str]] = field(default_factory=dict)
    unchanged: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    forged: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)


def try_forgeries(seed: int, events: int, progress: Callable[[int], None] = lambda done: None) -> Trial:
    """Mutate and verify so many; all of it follows from the seed.

    :param progress: called now and then with how many are done.
    :raises AssertionError: an original is not accepted, so that refusing forgeries would prove nothing.
    """
    scene, trial = forger(seed), Trial()
    signed = _signed(scene)
    kinds = [*MUTATIONS, TWO]
    for original in scene.originals:
        assert _outcome(original, scene) is None, "an original was refused"
    for number in range(events):
        kind = kinds[number % len(kinds)]
        _try(_mutated(kind, scene), kind, scene, signed, trial)
        if number % 10_000 == 0:
            progress(number)
    return trial


def is_still_what_was_signed(request: Request, signed: Mapping[tuple[bytes, bytes, bytes], set[bytes]]) -> bool:
    """Tell whether a request may be believed, by what was signed and without any cryptography.

    Each of the three headers comes once; id, timestamp and body are, byte for byte, those of one original;
    one of the signatures that are read is, byte for byte, one that a trusted key made of just these; and it
    is fresh.  Whatever else surrounds them says nothing.

    :param signed: the signatures of each id, timestamp and body.
    """
    names = [name.lower() for name, _ in request.headers]
    if any(names.count(name) != 1 for name in (ID, TIMESTAMP, SIGNATURE)):
        return False
    stamp = request.value(TIMESTAMP)
    good = signed.get((request.value(ID), stamp, request.body))
    if good is None or abs(request.now - int(stamp)) > DEFAULT_TOLERANCE.total_seconds():
        return False
    return not good.isdisjoint(request.value(SIGNATURE).split(b" ")[:_SIGNATURES_READ])


def _signed(scene: Forger) -> dict[tuple[bytes, bytes, bytes], set[bytes]]:
    return {
        (request.value(ID), request.value(TIMESTAMP), request.body): set(request.value(SIGNATURE).split(b" "))
        for request in scene.originals
    }


def _mutated(kind: str, scene: Forger) -> Request:
    request = scene.other
    if kind != TWO:
        return MUTATIONS[kind](request, scene)
    for mutate in scene.random.sample(list(MUTATIONS.values()), k=2):
        request = mutate(request, scene)
    return request


def _try(
    request: Request, kind: str, scene: Forger, signed: Mapping[tuple[bytes, bytes, bytes], set[bytes]], trial: Trial
) -> None:
    try:
        outcome = _outcome(request, scene)
    except Exception as error:  # whatever it is, it is not ours
        outcome = None
        trial.forged[f"{kind}: {type(error).__name__}"] += 1
    else:
        if is_still_what_was_signed(request, signed):
            trial.unchanged[kind] += 1
            trial.accepted[kind] += outcome is None
        elif outcome is None:
            trial.forged[f"{kind}: believed"] += 1
    if outcome is not None:
        trial.refused.setdefault(kind, Counter())[outcome] += 1
    elif sum(trial.forged.values()) > len(trial.shown) and len(trial.shown) < _SHOWN:
        trial.shown.append(f"{kind}: {request}")


def _outcome(request: Request, scene: Forger) -> str | None:
    """Return why a request is refused, or ``None`` if it is believed."""
    try:
        verify_event(request.headers, request.body, keys=scene.trusted, audiences=[URL], now=request.now)
    except VerificationError as error:
        return error.reason
    return None
