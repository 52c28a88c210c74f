"""Whose deliveries somebody sees, and whose he sends again."""

from __future__ import annotations

import pytest

from ringback_notifier.web._access import Access

A, AB, NONE = frozenset("a"), frozenset("ab"), frozenset[str]()


@pytest.mark.parametrize(
    ("readable", "editable", "both"),
    [
        (None, None, None),
        (None, A, A),
        (A, None, A),
        (AB, A, A),
        (A, AB, A),
        (NONE, None, NONE),
        (None, NONE, NONE),
    ],
)
def test_what_is_sent_again_is_seen_and_may_be_edited(
    readable: frozenset[str] | None, editable: frozenset[str] | None, both: frozenset[str] | None
) -> None:
    """Each DAG by itself, and all of them together."""
    access = Access(user="ada", readable=readable, editable=editable)
    assert access.both == both
    for dag_id in ("a", "b", "c"):
        assert access.reads(dag_id) is (readable is None or dag_id in readable)
        assert access.edits(dag_id) is (both is None or dag_id in both)
