"""Attempts within a budget, on a scripted clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_notifier._attempts import Pause, Send, attempts
from ringback_notifier._policy import Answer, Decision, Delivered, GiveUp, NoAnswer, Outcome, Retry

BUSY = Answer(status=500)
SILENT = NoAnswer(error="timeout: x")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def run(
    outcomes: Callable[[int], tuple[Outcome, float]], *, budget: float, timeout: float, jitter: float = 0.0
) -> tuple[Decision, list[Send | Pause], float]:
    """Drive the generator: an attempt gives an outcome and takes a time, a pause takes what it says."""
    clock = Clock()
    steps = attempts(budget=budget, timeout=timeout, clock=clock, jitter=lambda: jitter)
    taken: list[Send | Pause] = []
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as last:
            return last.value, taken, clock.now - 1_000.0
        taken.append(step)
        if isinstance(step, Pause):
            clock.now += step.seconds
        else:
            outcome, seconds = outcomes(sum(isinstance(one, Send) for one in taken))
            clock.now += min(seconds, step.timeout)


def always(outcome: Outcome, seconds: float = 0.0) -> Callable[[int], tuple[Outcome, float]]:
    return lambda number: (outcome, seconds)


def test_a_delivered_event_is_sent_once() -> None:
    """The first success ends the attempts."""
    assert run(always(Answer(status=204)), budget=10, timeout=3) == (Delivered(status=204), [Send(timeout=3)], 0.0)


def test_gone_ends_the_attempts() -> None:
    """410 stops for good."""
    decision, steps, _ = run(always(Answer(status=410)), budget=10, timeout=3)
    assert isinstance(decision, GiveUp)
    assert steps == [Send(timeout=3)]


def test_pauses_double_and_attempts_shrink_to_what_is_left() -> None:
    """Between attempts come half a second, one, two, …; the last attempt gets only what the budget leaves."""
    decision, steps, seconds = run(always(SILENT, 9), budget=10, timeout=3)
    assert steps == [Send(timeout=3), Pause(seconds=0.5), Send(timeout=3), Pause(seconds=1.0), Send(timeout=2.5)]
    assert decision == Retry(why="timeout: x")
    assert seconds == 10


def test_quick_failures_are_tried_until_the_next_pause_would_not_fit() -> None:
    """A budget of ten seconds allows attempts at 0, 0.5, 1.5, 3.5 and 7.5 s."""
    _, steps, seconds = run(always(BUSY), budget=10, timeout=3)
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.5, 1, 2, 4]
    assert seconds == 7.5


def test_a_success_after_failures_counts() -> None:
    """Retrying is worth it."""
    decision, steps, _ = run(lambda n: (BUSY if n < 3 else Answer(status=202), 0.1), budget=10, timeout=3)
    assert decision == Delivered(status=202)
    assert sum(isinstance(step, Send) for step in steps) == 3


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.5), (0.5, 0.625), (1.0, 0.75)])
def test_jitter_lengthens_a_pause_by_up_to_half(jitter: float, pause: float) -> None:
    """Many callbacks that failed together do not come back together."""
    _, steps, _ = run(always(BUSY), budget=1.1, timeout=3, jitter=jitter)
    assert steps[1] == Pause(seconds=pause)


def test_retry_after_is_waited_for_where_it_fits() -> None:
    """The receiver's wish counts if it is longer than the own pause."""
    busy = Answer(status=503, retry_after=4.0)
    decision, steps, _ = run(lambda n: (busy if n < 2 else Answer(status=204), 0), budget=10, timeout=3)
    assert steps[1] == Pause(seconds=4.0)
    assert decision == Delivered(status=204)


def test_retry_after_that_does_not_fit_ends_the_attempts() -> None:
    """The decision says when to come back, for whoever has the time."""
    decision, steps, _ = run(always(Answer(status=429, retry_after=60.0)), budget=10, timeout=3)
    assert decision == Retry(why="status 429", not_before=60.0)
    assert len(steps) == 1


def test_a_short_retry_after_does_not_hurry() -> None:
    """A receiver that says zero is not hammered."""
    _, steps, _ = run(always(Answer(status=503, retry_after=0.0)), budget=1.1, timeout=3)
    assert steps[1] == Pause(seconds=0.5)


@pytest.mark.parametrize("budget", [-1.0, 0.0, 0.01])
def test_one_attempt_is_always_made(budget: float) -> None:
    """Even with no budget left there is one quick try."""
    _, steps, _ = run(always(SILENT, 9), budget=budget, timeout=3)
    assert steps == [Send(timeout=0.25)]


@given(
    budget=st.floats(0.25, 60),
    timeout=st.floats(0.1, 30),
    jitter=st.floats(0, 1),
    seconds=st.lists(st.floats(0, 40), min_size=40, max_size=40),
    asked=st.lists(st.none() | st.floats(0, 100), min_size=40, max_size=40),
)
def test_the_budget_is_never_overdrawn(
    budget: float, timeout: float, jitter: float, seconds: list[float], asked: list[float | None]
) -> None:
    """Whatever attempts take and receivers ask for, all of it ends within the budget."""

    def outcome(number: int) -> tuple[Outcome, float]:
        return Answer(status=503, retry_after=asked[number % 40]), seconds[number % 40]

    decision, steps, taken = run(outcome, budget=budget, timeout=timeout, jitter=jitter)
    assert isinstance(decision, Retry)
    assert taken <= budget + 1e-6
    assert all(step.timeout <= timeout for step in steps if isinstance(step, Send))
