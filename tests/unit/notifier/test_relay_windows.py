"""Which piece of time a sweep reads, and what it remembers."""

from __future__ import annotations

import pytest

from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._sweep import Window, read_watermark, window_after, write_watermark


def test_a_window_begins_before_the_watermark() -> None:
    """Rows become visible after the time they carry, so the end of the last sweep is read again."""
    assert window_after(10_000.0, overlap=180.0).since == 9_820.0


def test_a_window_is_five_minutes_at_most() -> None:
    """After days of pause the sweep goes in small steps, for a relay that has to stop amid one begins it again."""
    window = window_after(10_000.0, overlap=180.0)
    assert window.until == 10_300.0
    assert window.watermark(at=1_000_000.0) == 10_300.0


def test_the_last_window_ends_when_the_server_first_answered() -> None:
    """What changes while the pages are read belongs to the next sweep."""
    assert Window(since=0.0, until=3_600.0).watermark(at=1_000.0) == 1_000.0


def test_a_watermark_survives_being_written_down() -> None:
    """What is written is read again."""
    assert read_watermark(write_watermark(1234.5)) == 1234.5


@pytest.mark.parametrize("value", [None, "", "{}", "[]", "null", "7", '{"watermark": "x"}', "{"])
def test_what_is_no_watermark_is_none(value: str | None) -> None:
    """A damaged value makes the sweep start as the very first one does."""
    assert read_watermark(value) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": 0},
        {"host_concurrency": 0},
        {"confirm_batch": 0},
        {"sweep_interval": 0},
        {"lease": 20.0},
        {"grace": 180.0},
        {"grace": -1.0},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float]) -> None:
    """A lease shorter than two attempts, or an overlap shorter than the grace, would lose events."""
    with pytest.raises(ValueError, match="must be"):
        RelaySettings(**settings)  # type: ignore[arg-type]
