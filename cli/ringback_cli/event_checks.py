"""Why an incoming event is believed or not, check by check.  Pure.

The verdict is :func:`ringback_protocol.verify_event`'s and nobody else's: which check failed is read from its
refusal, and the checks before that one are those that it had passed by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ringback_protocol import DEFAULT_TOLERANCE, CompletionEvent, Refusal, VerificationError, verify_event
from ringback_protocol import verify_signature as check_signature
from ringback_protocol.keys import PublicKey, VerificationKey
from ringback_protocol.signing import HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP

__all__ = ["WORDS", "Check", "Judgement", "RawHeaders", "audiences_of", "judge"]

RawHeaders = Sequence[tuple[str, str]]

WORDS = {
    Refusal.TOO_LARGE: "the body is larger than any event",
    Refusal.MISSING_HEADER: "webhook-id, webhook-timestamp or webhook-signature is missing",
    Refusal.DUPLICATE_HEADER: "a webhook- header comes twice",
    Refusal.MALFORMED_HEADER: "a webhook- header is not in its one right form",
    Refusal.TIMESTAMP_TOO_OLD: "it was signed too long ago: an old capture, a replay, or a clock that is wrong",
    Refusal.TIMESTAMP_TOO_NEW: "it was signed in the future: a clock is wrong",
    Refusal.BAD_SIGNATURE: "no key given here has signed these very bytes: another key, or a body that was changed",
    Refusal.MALFORMED_EVENT: "signed, but no completion event",
    Refusal.UNKNOWN_VERSION: "signed, but of a version of events that this release does not know",
    Refusal.ID_MISMATCH: "the event's id is not the one in webhook-id",
    Refusal.WRONG_AUDIENCE: "it is addressed to another URL",
}
"""What each refusal means, for people."""

_CHECK_OF = {
    Refusal.TOO_LARGE: "size",
    Refusal.MISSING_HEADER: "headers",
    Refusal.DUPLICATE_HEADER: "headers",
    Refusal.MALFORMED_HEADER: "headers",
    Refusal.TIMESTAMP_TOO_OLD: "timestamp",
    Refusal.TIMESTAMP_TOO_NEW: "timestamp",
    Refusal.BAD_SIGNATURE: "signature",
    Refusal.MALFORMED_EVENT: "event",
    Refusal.UNKNOWN_VERSION: "event",
    Refusal.ID_MISMATCH: "id",
    Refusal.WRONG_AUDIENCE: "audience",
}
_CHECKS = tuple(dict.fromkeys(_CHECK_OF.values()))
"""In the order in which they are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check and what came of it; ``skipped`` if an earlier one failed, or nobody asked for it."""

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is thought of a request: an event, or a refusal."""

    checks: tuple[Check, ...]
    event: CompletionEvent | None = None
    refusal: Refusal | None = None


class _Addressed(msgspec.Struct):
    audience: str


def audiences_of(url: str | None, body: bytes) -> tuple[str, ...]:
    """Return the callback URLs that an event may be addressed to: one, or without one whatever it says itself."""
    if url is not None:
        return (url,)
    try:
        return (msgspec.json.decode(body, type=_Addressed).audience,)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def judge(
    headers: RawHeaders, body: bytes, *, keys: Sequence[VerificationKey], url: str | None, now: float
) -> Judgement:
    """Verify a request, and tell of every check.

    :param url: the callback URL that it must be addressed to, or ``None`` not to check that.
    :param now: Unix seconds.
    """
    event, refusal = None, None
    try:
        event = verify_event(headers, body, keys=keys, audiences=audiences_of(url, body), now=now)
    except VerificationError as error:
        refusal = error.refusal
    failed = None if refusal is None else _CHECK_OF[refusal]
    checks: list[Check] = []
    for name in _CHECKS:
        if failed in {check.name for check in checks}:
            checks.append(Check(name=name, outcome="skipped"))
        elif refusal is not None and name == failed:
            checks.append(Check(name=name, outcome="failed", said=_failing(refusal, headers, body, now)))
        elif name == "audience" and url is None:
            checks.append(Check(name=name, outcome="skipped", said="no --url to compare with"))
        else:
            checks.append(Check(name=name, outcome="ok", said=_passing(name, headers, body, keys, event, now)))
    return Judgement(checks=tuple(checks), event=event, refusal=refusal)


def _failing(refusal: Refusal, headers: RawHeaders, body: bytes, now: float) -> str:
    said = WORDS[refusal]
    if refusal is Refusal.TOO_LARGE:
        return f"{said}: {len(body)} bytes"
    if refusal is Refusal.MISSING_HEADER:
        there = {name.lower() for name, _ in headers}
        missing = [name for name in (HEADER_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE) if name not in there]
        return f"missing: {', '.join(missing)}" if missing else said
    if refusal in (Refusal.TIMESTAMP_TOO_OLD, Refusal.TIMESTAMP_TOO_NEW):
        return f"{_age(headers, now)}, and {DEFAULT_TOLERANCE.total_seconds():.0f} s are allowed; {said}"
    if refusal is Refusal.WRONG_AUDIENCE:
        return f"{said}: {audiences_of(None, body)[0]}"
    return said


def _passing(
    name: str,
    headers: RawHeaders,
    body: bytes,
    keys: Sequence[VerificationKey],
    event: CompletionEvent | None,
    now: float,
) -> str:
    if name == "size":
        return f"{len(body)} bytes"
    if name == "headers":
        return _header(headers, HEADER_ID)
    if name == "timestamp":
        return _age(headers, now)
    if name == "signature":
        return f"by {', '.join(_signers(headers, body, keys, now))}"
    if event is None:
        return ""
    return {"event": f"{event.type} {event.subject}", "id": event.id, "audience": event.audience}[name]


def _signers(headers: RawHeaders, body: bytes, keys: Sequence[VerificationKey], now: float) -> list[str]:
    """Return which of the keys have signed; of a shared secret only that it is one."""
    held = []
    for number, key in enumerate(keys, start=1):
        try:
            check_signature(headers, body, keys=[key], now=now)
        except VerificationError:
            continue
        held.append(str(key) if isinstance(key, PublicKey) else f"the shared secret that is key {number}")
    return held


def _age(headers: RawHeaders, now: float) -> str:
    age = now - int(_header(headers, HEADER_TIMESTAMP))
    return f"signed {age:.0f} s ago" if age >= 0 else f"signed {-age:.0f} s ahead"


def _header(headers: RawHeaders, wanted: str) -> str:
    return next(value for name, value in headers if name.lower() == wanted)
