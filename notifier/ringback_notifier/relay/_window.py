"""The piece of time that a sweep reads, and how far it has read it: what one relay leaves to the next.  Pure."""

from __future__ import annotations

import msgspec

from ringback_notifier.relay._paging import Place

__all__ = ["Window", "read_window", "write_window"]

LONGEST = 300.0
"""Seconds; after a pause of days there are many small windows."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window, in Unix seconds by the server's clock.

    :param watermark: up to when everything is known.
    :param since: runs that changed at or after it are read: a row may become visible minutes after the time in its
        ``updated_at``, so that is before the watermark.
    :param began: when the server gave the first page, if it did; what changes later belongs to the next window.
    :param place: where the next page starts.
    """

    watermark: float
    since: float
    began: float | None = None
    place: Place = Place()

    @classmethod
    def first(cls, since: float, *, overlap: float) -> Window:
        """Return the window that starts at a moment."""
        return cls(watermark=since + overlap, since=since)

    @property
    def until(self) -> float:
        """Runs that changed at or before it are read."""
        return self.watermark + LONGEST

    @property
    def is_last(self) -> bool:
        """Whether it reaches the present, as far as is known."""
        return self.began is None or self.began <= self.until

    def read(self, place: Place | None, *, at: float) -> Window:
        """Return what is left once a page is read.

        :param place: where the next starts, or ``None`` if this was the last.
        :param at: when the server answered.
        """
        began = at if self.began is None else self.began
        return msgspec.structs.replace(self, began=began, place=self.place if place is None else place)

    def following(self, *, overlap: float) -> Window:
        """Return the window after this one, which has been read.

        :param overlap: seconds to look back.
        """
        known = self.watermark if self.began is None else min(self.began, self.until)
        return Window(watermark=known, since=known - overlap)


def read_window(value: str | None) -> Window | None:
    """Read what :func:`write_window` wrote; anything else is no window."""
    try:
        return msgspec.json.decode(value or "", type=Window)
    except msgspec.MsgspecError:
        return None


def write_window(window: Window) -> str:
    """Return the value to keep with the duty."""
    return msgspec.json.encode(window).decode()
