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
    :param total: how many rows the list had, where that is known: if it has fewer now, those behind have moved up.
    :param passed: how many rows in a row were passed over.
    """

    cursor: str | None = ""
    offset: int = 0
    suspect: int = 0
    total: int | None = None
    passed: int = 0

    @property
    def limit(self) -> int:
        """How many rows to ask for."""
        return max(self.suspect // 2, 1) if self.suspect else PAGE

    def after(self, page: Page) -> Place | None:
        """Return where to go on after a page, or ``None`` if it was the last."""
        if self.cursor is None:
            return self._after_offset(page)
        if page.next_cursor is UNSET:
            # A server that knows no cursors gave its first rows, whatever was asked for.
            return Place(cursor=None)._after_offset(page)
        if not page.next_cursor:
            return None
        rows = len(page.dag_runs)
        return Place(cursor=page.next_cursor, offset=self.offset + rows, suspect=max(self.suspect - rows, 0))

    def _after_offset(self, page: Page) -> Place | None:
        rows, known = len(page.dag_runs), page.total_entries
        gone = self.total - known if self.total is not None and known is not None else 0
        if gone > 0:
            # Those that were passed over may have been so before or after the others moved.
            return Place(cursor=None, offset=max(self.offset - gone - self.passed, 0), total=known)
        if not rows or (known is not None and self.offset + rows >= known):
            return None
        shared = _OVERLAP if not self.suspect and rows > 2 * _OVERLAP else 0
        suspect = max(self.suspect - rows, 0)
        return Place(cursor=None, offset=self.offset + rows - shared, suspect=suspect, total=known)

    def after_failure(self) -> Place | None:
        """Return where to look for the run that makes the page fail, or ``None`` if the page was that one run."""
        return None if self.limit == 1 else msgspec.structs.replace(self, suspect=self.limit)

    def behind_one(self) -> Place:
        """Return where to go on without the run that comes next.

        No cursor leads behind it.  Where offsets take over from cursors the list is read again from its start: rows
        may have left it meanwhile.
        """
        if self.cursor is not None:
            return Place(cursor=None, passed=self.passed)
        suspect = max(self.suspect - 1, 0)
        return msgspec.structs.replace(self, offset=self.offset + 1, suspect=suspect, passed=self.passed + 1)

    def without_cursor(self) -> Place:
        """Return where to go on if the server does not take this cursor (any more)."""
        return Place(cursor=None)
