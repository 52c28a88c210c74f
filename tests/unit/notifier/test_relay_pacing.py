"""How soon a hint is looked at again."""

from __future__ import annotations

from ringback_notifier.relay._pacing import GIVEN_UP_AFTER, next_look


def test_looks_double_from_twenty_milliseconds() -> None:
    """The first looks come quickly, as the scheduler commits within milliseconds."""
    assert [next_look(looks, age=0.0) for looks in (1, 2, 3, 4)] == [0.02, 0.04, 0.08, 0.16]


def test_looks_are_never_more_than_half_a_minute_apart() -> None:
    """However often it was in vain, the next look is at most 30 s away."""
    assert next_look(50, age=1.0) == 30.0
    assert next_look(10_000, age=1.0) == 30.0


def test_a_hint_is_given_up_in_the_end() -> None:
    """After ten minutes the hint goes: a run that ends later is found by the sweep."""
    assert next_look(3, age=GIVEN_UP_AFTER - 1) is not None
    assert next_look(3, age=GIVEN_UP_AFTER) is None
