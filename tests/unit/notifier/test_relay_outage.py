"""What an outage does to the relay's pace, and to its log."""

from __future__ import annotations

import logging

import pytest

from ringback_notifier.relay._outage import Outage


def outage(jitter: float = 0.0) -> Outage:
    return Outage("the API", first=1.0, longest=5.0, jitter=lambda: jitter, clock=lambda: 7.0)


def test_pauses_double_up_to_a_limit() -> None:
    """Each failure doubles the pause, never beyond the longest."""
    lasting = outage()
    assert [lasting.failed(OSError()) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_pauses_are_spread() -> None:
    """Relays that failed together do not come back together."""
    assert outage(jitter=1.0).failed(OSError()) == 0.5


def test_it_starts_afresh_after_a_success() -> None:
    """A new outage has short pauses again."""
    lasting = outage()
    lasting.failed(OSError())
    lasting.failed(OSError())
    lasting.over()
    assert lasting.failed(OSError()) == 1


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """However long it lasts, there are two lines."""
    lasting = outage()
    with caplog.at_level(logging.INFO):
        lasting.over()
        for _ in range(100):
            lasting.failed(OSError("no route"))
        lasting.over()
        lasting.over()
    assert [record.getMessage() for record in caplog.records] == [
        "ringback relay: the API: OSError: no route (trying on)",
        "ringback relay: the API: works again, after 0 s",
    ]


def test_a_defect_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """What nobody expected can be found."""
    outage().failed(KeyError("x"), unexpected=True)
    assert caplog.records[0].exc_info is not None
