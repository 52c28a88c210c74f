"""What a sender is answered: a status, few headers, and a body that says what and never why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ringback_receiver._matching import STATUS, Transition

__all__ = ["RETRY_AFTER", "Answer", "answer_refusal", "answer_transition"]

RETRY_AFTER = 5
"""Seconds after which to come back when the store is away."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response, for whatever framework sends it.

    :param outcome: one word for logs and metrics: what became of the event, or why it was refused.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    outcome: str


def answer_transition(transition: Transition) -> Answer:
    """Answer an event that is durably recorded; a 204 has no body (RFC 9110, section 15.3.5)."""
    status = STATUS[transition]
    if status == 204:
        return Answer(status=status, headers={}, body=b"", outcome=transition.value)
    return _json(status, "outcome", transition.value, {})


def answer_refusal(status: int, reason: str) -> Answer:
    """Answer a request that nothing is recorded of.

    :param reason: a code, such as ``bad_signature``.
    """
    headers = {"retry-after": str(RETRY_AFTER)} if status == 503 else {}
    return _json(status, "error", reason, headers)


def _json(status: int, member: str, word: str, headers: Mapping[str, str]) -> Answer:
    return Answer(
        status=status,
        headers={"content-type": "application/json", **headers},
        body=msgspec.json.encode({member: word}),
        outcome=word,
    )
