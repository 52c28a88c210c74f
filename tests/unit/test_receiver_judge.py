"""What the proof that kills receivers would call wrong."""

from __future__ import annotations

from typing import Any

import pytest

from chaos._receiver_judge import violations

ACKNOWLEDGED = {"msg_1": "req_1", "msg_2": "req_1"}
EVENTS = [("msg_1", "req_1", "resolved"), ("msg_2", "req_1", "revised")]
REQUESTS = [("req_1", "resolved", "msg_1")]


def test_what_holds_is_not_complained_of() -> None:
    """One ending resolves, the other revises, and an event that nobody was told of may be there or not."""
    assert list(violations(ACKNOWLEDGED, EVENTS, REQUESTS)) == []
    assert list(violations({}, EVENTS, REQUESTS)) == []


@pytest.mark.parametrize(
    ("events", "requests", "complaint"),
    [
        (EVENTS[:1], REQUESTS, "lost: msg_2"),
        (EVENTS, [], "not resolved: req_1"),
        ([EVENTS[0], ("msg_2", "req_1", "resolved")], REQUESTS, "resolved twice: req_1"),
        ([EVENTS[0], ("msg_2", "req_1", "parked")], REQUESTS, "msg_2 of req_1 is parked"),
        (EVENTS, [("req_1", "resolved", "msg_2")], "req_1 is resolved by msg_2"),
    ],
)
def test_what_does_not_hold_is(events: list[Any], requests: list[Any], complaint: str) -> None:
    """A lost event, a lost or a second resolution, an ending that went astray, a row that tells another story."""
    assert any(line.startswith(complaint) for line in violations(ACKNOWLEDGED, events, requests))
