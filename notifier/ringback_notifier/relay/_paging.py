"""How far a list of runs has been read, and what to ask for next: also past a run that Airflow cannot show.  Pure.

A page with such a run fails as a whole, so what is suspect is halved until the one run is found, and passed over:
whoever may trigger a DAG must not be able to hide the others.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from ringback_notifier.relay._run import Page

__all__ = ["PAGE", "Place"]

PAGE = 100
"""Rows; Airflow cuts it to ``[api] maximum_page_limit`` without a word, which is 100 by default."""
_OVERLAP = 10
"""Rows that two pages share where there are no cursors: a run that leaves the list moves the others up."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a list.

    :param cursor: of what comes next; empty at the beginning, ``None`` to page by ``offset``.
    :param offset: how many rows lie behind.
    :param suspect: how many of the rows to come are on a page that failed; zero if none did.
    """

    cursor: str | None = ""
    offset: int = 0
    suspect: int = 0

    @property
    def limit(self) -> int:
        """How many rows to ask for."""
        return max(self.suspect // 2, 1) if self.suspect else PAGE

    def after(self, page: Page) -> Place | None:
        """Return where to go on after a page, or ``None`` if it was the last."""
        rows = len(page.dag_runs)
        suspect = max(self.suspect - rows, 0)
        if self.cursor is not None and page.next_cursor is not UNSET:
            if not page.next_cursor:
                return None
            return Place(cursor=page.next_cursor, offset=self.offset + rows, suspect=suspect)
        known = page.total_entries
        if not rows or (known is not None and self.offset + rows >= known):
            return None
        shared = _OVERLAP if not self.suspect and rows > 2 * _OVERLAP else 0
        return Place(cursor=None, offset=self.offset + rows - shared, suspect=suspect)

    def after_failure(self) -> Place | None:
        """Return where to look for the run that makes the page fail, or ``None`` if the page was that one run."""
        if self.limit == 1:
            return None
        return Place(cursor=self.cursor, offset=self.offset, suspect=self.limit)

    def behind_one(self) -> Place:
        """Return where to go on without the run that comes next."""
        return Place(cursor=None, offset=self.offset + 1, suspect=max(self.suspect - 1, 0))
