"""A list is read to its end, whatever rows Airflow cannot show and however few it gives at a time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_notifier.relay._paging import PAGE, Place
from ringback_notifier.relay._run import Page


class List:
    """Rows, some of which make every page that they are on fail.

    :param most: rows that the server gives at a time, whatever is asked for.
    """

    def __init__(self, rows: int, *, bad: set[int], cursors: bool, total: bool = True, most: int = PAGE) -> None:
        self.rows, self.bad, self.cursors, self.total, self.most = rows, bad, cursors, total, most
        self.requests = self.gone = 0

    def leave(self, count: int) -> None:
        """Let the first rows leave the list: those behind them move up."""
        self.gone += count

    def page(self, place: Place) -> tuple[Page, list[int]] | None:
        self.requests += 1
        by_cursor = self.cursors and place.cursor is not None
        start = max(int(place.cursor or 0), self.gone) if by_cursor else place.offset + self.gone
        numbers = list(range(start, min(start + min(place.limit, self.most), self.rows)))
        if self.bad & set(numbers):
            return None
        more = start + len(numbers) < self.rows
        following = (str(start + len(numbers)) if more else None) if by_cursor else msgspec.UNSET
        total = self.rows - self.gone if self.total and not by_cursor else None
        return Page(dag_runs=(msgspec.Raw(b"{}"),) * len(numbers), next_cursor=following, total_entries=total), numbers


def read(rows: List, *, leaving: dict[int, int] | None = None, most_requests: int = 10_000) -> list[int]:
    found: list[int] = []
    place: Place | None = Place()
    while place is not None:
        assert rows.requests < most_requests
        rows.leave((leaving or {}).get(rows.requests, 0))
        answer = rows.page(place)
        if answer is None:
            place = place.after_failure() or place.behind_one()
        else:
            found += answer[1]
            place = place.after(answer[0])
    return found


@given(
    rows=st.integers(0, 450),
    bad=st.sets(st.integers(0, 449), max_size=6),
    cursors=st.booleans(),
    total=st.booleans(),
    most=st.sampled_from([1, 7, 20, 50, 99, 100]),
)
@settings(max_examples=300, deadline=None)
def test_every_row_that_can_be_had_is_read(rows: int, bad: set[int], cursors: bool, total: bool, most: int) -> None:
    """By cursor or by offset, with the total or without, by pages of any size, and past every row that cannot."""
    found = read(List(rows, bad=bad, cursors=cursors, total=total, most=most))
    assert sorted(set(found)) == [number for number in range(rows) if number not in bad]


@pytest.mark.parametrize("where", [0, 1, 42, 98, 99, 100, 250])
def test_one_bad_row_costs_few_requests(where: int) -> None:
    """It is found by halving, not by reading a hundred rows one by one."""
    rows = List(300, bad={where}, cursors=True)
    assert len(set(read(rows))) == 299
    assert rows.requests <= 36


def test_by_cursor_no_row_comes_twice() -> None:
    """A cursor stays where it is when rows move."""
    found = read(List(450, bad=set(), cursors=True))
    assert found == list(range(450))


def test_by_offset_pages_share_some_rows() -> None:
    """A run that leaves the list moves those behind it up by one."""
    found = read(List(250, bad=set(), cursors=False))
    assert len(found) > 250


@given(
    leaving=st.dictionaries(st.integers(1, 20), st.integers(1, 60), max_size=4),
    bad=st.sets(st.integers(200, 449), max_size=2),
    cursors=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_rows_that_leave_the_list_hide_none_of_the_others(
    leaving: dict[int, int], bad: set[int], cursors: bool
) -> None:
    """Whoever clears a hundred runs while the list is read moves a hundred others up, and they are read."""
    rows = List(450, bad=bad, cursors=cursors)
    found = set(read(rows, leaving=leaving))
    assert {number for number in range(rows.gone, 450) if number not in bad} <= found


def test_a_server_that_takes_no_cursor_is_read_from_the_start() -> None:
    """Of two servers behind one address one may be older: it gives its first rows, whatever was asked for."""
    page = Page(dag_runs=(msgspec.Raw(b"{}"),) * 100, total_entries=450)
    following = Place(cursor="300", offset=300).after(page)
    assert following is not None
    assert following.cursor is None
    assert following.offset <= 100


def test_runs_that_are_passed_over_are_counted() -> None:
    """Each in a row, until one is read: where rows leave the list, they are looked at again."""
    place = Place(cursor=None, suspect=1)
    for passed in range(1, 4):
        place = place.behind_one()
        assert (place.offset, place.passed) == (passed, passed)
    following = place.after(Page(dag_runs=(msgspec.Raw(b"{}"),), total_entries=10))
    assert following is not None
    assert following.passed == 0
