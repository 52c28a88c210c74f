"""What is kept of a receiver's answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from notifier_samples import URL, destination

from ringback_notifier._exchange import Delivery, answer_of

EVENT = {"specversion": "1.0", "data": {"result": [{"n": 1, "who": 'the "hush" one', "é": "ü"} for _ in range(40)]}}
BODY = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()


def kept(said: str) -> str:
    delivery = Delivery(event_id="msg_1", url=URL, body=BODY, destination=destination())
    return answer_of(delivery, 422, [], said.encode()).excerpt


@pytest.mark.parametrize(
    "quote",
    [
        lambda body: body,
        lambda body: json.dumps({"error": "malformed", "received": body}, ensure_ascii=False),
        lambda body: json.dumps(json.dumps({"received": body}, ensure_ascii=False), ensure_ascii=False),
        lambda body: f"cannot read {body.encode()!r}",
        lambda body: body.replace("\\", ""),
    ],
    ids=["as it is", "in JSON", "in JSON in JSON", "as Python shows bytes", "without its backslashes"],
)
def test_an_answer_that_repeats_the_event_is_left_out(quote: Callable[[str], str]) -> None:
    """However it is quoted: a result may be nobody else's business."""
    assert kept(quote(BODY.decode())) == "(an answer that repeats what it was sent)"


def test_an_answer_of_the_receivers_own_is_kept() -> None:
    """It says why, even if it has the event's words and backslashes."""
    said = 'C:\\app: "data" has no member "result" of type \\"table\\"'
    assert kept(said) == said
