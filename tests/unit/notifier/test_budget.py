"""The time that DAG callbacks share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringback_notifier._budget import SharedBudget


def left(budget: SharedBudget, now: float) -> float:
    return budget.left(now, total=30, window=50)


def test_a_fresh_budget_is_whole() -> None:
    """Nothing has been spent yet."""
    assert left(SharedBudget(), 1_000) == 30


def test_what_is_spent_is_gone_until_the_window_has_passed() -> None:
    """Time comes back when the callback that spent it ended a window ago."""
    budget = SharedBudget()
    budget.spend(10, 100)
    budget.spend(5, 120)
    assert left(budget, 120) == 15
    assert left(budget, 149.9) == 15
    assert left(budget, 150) == 25
    assert left(budget, 170) == 30


def test_it_never_goes_below_zero() -> None:
    """A callback that took longer than it should leaves nothing, not less."""
    budget = SharedBudget()
    budget.spend(45, 100)
    assert left(budget, 100) == 0


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 60)), max_size=30))
def test_what_is_spent_within_any_window_is_never_more_than_the_total(steps: list[tuple[float, float]]) -> None:
    """Spenders that take no more than what is left keep to the total in every window."""
    budget = SharedBudget()
    now, spent = 0.0, []
    for wish, pause in steps:
        now += pause
        used = min(wish, left(budget, now))
        now += used
        budget.spend(used, now)
        spent.append((now, used))
        assert sum(seconds for end, seconds in spent if end > now - 50) <= 30 + 1e-6
