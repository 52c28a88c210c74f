"""Which piece of time a sweep reads, and what one relay leaves to the next."""

from __future__ import annotations

import pytest

from ringback_notifier.relay._paging import Place
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._window import Window, read_window, write_window


def following(watermark: float, *, began: float) -> Window:
    return Window(watermark=watermark, since=0.0, began=began).following(overlap=180.0)


def test_a_window_begins_before_the_watermark() -> None:
    """Rows become visible after the time they carry, so the end of the last window is read again."""
    assert following(10_000.0, began=10_015.0) == Window(watermark=10_015.0, since=9_835.0)
    assert Window.first(9_400.0, overlap=180.0) == Window(watermark=9_580.0, since=9_400.0)


def test_a_window_is_five_minutes_at_most() -> None:
    """After days of pause the sweep goes in small steps, and knows that it is not at the end."""
    window = Window(watermark=10_000.0, since=9_820.0).read(None, at=1_000_000.0)
    assert (window.until, window.is_last) == (10_300.0, False)
    assert window.following(overlap=180.0) == Window(watermark=10_300.0, since=10_120.0)


def test_the_last_window_ends_when_the_server_first_answered() -> None:
    """What changes while the pages are read belongs to the next sweep."""
    window = Window(watermark=900.0, since=720.0)
    for page, at in (
        (Place(cursor="b", offset=100), 1_000.0),
        (Place(cursor="c", offset=200), 1_050.0),
        (None, 1_090.0),
    ):
        window = window.read(page, at=at)
    assert (window.began, window.is_last, window.place) == (1_000.0, True, Place(cursor="c", offset=200))
    assert window.following(overlap=180.0).watermark == 1_000.0


@pytest.mark.parametrize(
    "window",
    [
        Window(watermark=1234.5, since=1000.0),
        Window(watermark=1234.5, since=1000.0, began=1240.0, place=Place(cursor=None, offset=77, suspect=12)),
    ],
)
def test_a_window_survives_being_written_down(window: Window) -> None:
    """What is written is read again, with the place in it."""
    assert read_window(write_window(window)) == window


@pytest.mark.parametrize(
    "value", [None, "", "{}", "[]", "null", "7", '{"watermark":"x","since":1}', "{", '{"since":1}']
)
def test_what_is_no_window_is_none(value: str | None) -> None:
    """A damaged value makes the sweep start as the very first one does."""
    assert read_window(value) is None


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
        {"sweep_overlap": 60.0},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float]) -> None:
    """A lease shorter than two attempts, or an overlap shorter than the grace, would lose events."""
    with pytest.raises(ValueError, match="must be"):
        RelaySettings(**settings)  # type: ignore[arg-type]
