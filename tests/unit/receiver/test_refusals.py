"""What the log is told of refusals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from ringback_receiver._refusals import Refusals, claimed_id

ID = "msg_" + "a2" * 16


def test_first_of_a_reason_is_news_and_the_rest_is_counted() -> None:
    """A thousand refusals are two lines: the first, and a minute later how many there were."""
    refusals = Refusals()
    assert [refusals.is_news("bad_signature", 100.0 + n / 20) for n in range(1_000)] == [True] + [False] * 999
    assert list(refusals.summaries(159.9)) == []
    assert list(refusals.summaries(160.0)) == ["requests refused: bad_signature: 999 more since the last such line"]
    assert list(refusals.summaries(1_000.0)) == []


def test_each_reason_has_its_own_minute() -> None:
    """A flood of one does not hide the other."""
    refusals = Refusals()
    assert refusals.is_news("too_large", 0.0)
    assert not refusals.is_news("too_large", 1.0)
    assert refusals.is_news("bad_signature", 2.0)


def test_reason_is_news_again_after_a_quiet_minute() -> None:
    """A single one needs no summary."""
    refusals = Refusals()
    assert refusals.is_news("too_large", 0.0)
    assert list(refusals.summaries(60.0)) == []
    assert refusals.is_news("too_large", 60.0)


def test_nothing_is_left_unsaid_in_the_end() -> None:
    """Closing tells what no minute has told yet."""
    refusals = Refusals()
    for _ in range(3):
        refusals.is_news("too_large", 0.0)
    assert list(refusals.summaries(math.inf)) == ["requests refused: too_large: 2 more since the last such line"]


@pytest.mark.parametrize(
    "headers",
    [{"webhook-id": ID}, {"Webhook-Id": ID}, [(b"WEBHOOK-ID", ID.encode())], [("x", "y"), (b"webhook-id", ID)]],
)
def test_claimed_id_is_found(headers: Any) -> None:
    """However a framework spells it."""
    assert claimed_id(headers) == ID


class Malicious:
    def __repr__(self) -> str:
        return "Malicious()"

    def items(self) -> Iterator[Any]:
        raise MemoryError


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": ""},
        {"webhook-id": ID + "\nWARNING all is well"},
        {"webhook-id": "msg.1"},
        {"webhook-id": "m" * 129},
        {"webhook-id": "\u0661"},
        {"webhook-id": None},
        {7: ID},
        [ID],
        None,
        7,
        Malicious(),
    ],
    ids=repr,
)
def test_what_has_not_the_form_of_an_id_is_never_logged(headers: Any) -> None:
    """A stranger writes no line of ours."""
    assert claimed_id(headers) is None
