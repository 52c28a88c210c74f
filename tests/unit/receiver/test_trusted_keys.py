"""For how long published keys are trusted, and when they are asked for again."""

from __future__ import annotations

import pytest

from ringback_protocol import PrivateKey
from ringback_receiver._trusted_keys import Failed, Learned, Published, TrustedKeys, Unchanged, Withdrawn

OLD, NEW = (PrivateKey.generate().public() for _ in range(2))
DAY = 86_400.0


def published(*keys: object, max_age: float = 300.0, valid_for: float = 7 * DAY) -> Published:
    return Published(keys=tuple((key, valid_for) for key in keys), max_age=max_age, etag='"1"')  # type: ignore[misc]


@pytest.fixture
def trusted() -> TrustedKeys:
    return TrustedKeys(interval=10.0)


def test_at_first_nothing_is_trusted_and_everything_may_be_asked(trusted: TrustedKeys) -> None:
    """Nobody has asked yet."""
    assert trusted.at(0.0) == ()
    assert trusted.may_ask(0.0)
    assert trusted.etag is None


def test_two_questions_are_at_least_an_interval_apart(trusted: TrustedKeys) -> None:
    """Whoever wants to ask sooner has to do with what there is."""
    trusted.asked(100.0)
    assert not trusted.may_ask(109.9)
    assert trusted.may_ask(110.0)


def test_keys_are_asked_for_again_when_they_are_old(trusted: TrustedKeys) -> None:
    """After what the answer says, but no sooner than the interval and no later than a day."""
    for max_age, wait in ((300.0, 300.0), (1.0, 10.0), (1e9, DAY)):
        trusted.learn(published(NEW, max_age=max_age), 1_000.0)
        assert trusted.ask_again_at == 1_000.0 + wait


def test_a_withdrawn_key_is_not_trusted_any_more(trusted: TrustedKeys) -> None:
    """As soon as that is known."""
    trusted.learn(published(NEW, OLD), 0.0)
    assert trusted.at(1.0) == (NEW, OLD)
    trusted.learn(published(NEW), 2.0)
    assert trusted.at(2.0) == (NEW,)
    trusted.learn(Withdrawn(), 3.0)
    assert trusted.at(3.0) == ()
    assert trusted.etag is None


def test_a_failure_takes_no_key_away(trusted: TrustedKeys) -> None:
    """Airflow may be down for days; then, at last, a key that nobody vouches for is no longer trusted."""
    trusted.learn(published(NEW), 0.0)
    for day in range(1, 7):
        trusted.learn(Failed("down"), day * DAY)
        assert trusted.at(day * DAY) == (NEW,)
    assert trusted.at(7 * DAY) == ()


def test_keys_that_are_what_they_were_are_trusted_anew(trusted: TrustedKeys) -> None:
    """An answer without a body renews them, also when they had just run out."""
    trusted.learn(published(NEW), 0.0)
    trusted.learn(Unchanged(max_age=60.0), 8 * DAY)
    assert trusted.at(14 * DAY) == (NEW,)
    assert trusted.ask_again_at == 8 * DAY + 60.0


def test_nobody_can_have_a_key_trusted_for_ever(trusted: TrustedKeys) -> None:
    """Thirty days unasked is the most, whatever the answer says."""
    trusted.learn(published(NEW, valid_for=1e12), 0.0)
    assert trusted.at(30 * DAY - 1) == (NEW,)
    assert trusted.at(30 * DAY) == ()


@pytest.mark.parametrize("after", [Unchanged(max_age=300.0), published(NEW), Withdrawn()])
def test_failures_are_further_and_further_apart(trusted: TrustedKeys, after: Learned) -> None:
    """From the interval to five minutes; any answer ends the outage."""
    waits = []
    for _ in range(40):
        trusted.learn(Failed("down"), 0.0)
        waits.append(trusted.ask_again_at)
    assert waits[:7] == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert waits[-1] == 300.0
    trusted.learn(after, 0.0)
    assert trusted.ask_again_at == 300.0
    trusted.learn(Failed("down"), 0.0)
    assert trusted.ask_again_at == 10.0


@pytest.mark.parametrize(("says", "wait"), [(0.0, 10.0), (10.0, 10.0), (60.0, 60.0), (1e9, 300.0)])
def test_whoever_says_when_to_come_again_is_obeyed_in_bounds(trusted: TrustedKeys, says: float, wait: float) -> None:
    """Every time, and however often, from the interval to five minutes; nor does an unknown key ask sooner."""
    for _ in range(10):
        trusted.asked(1_000.0)
        trusted.learn(Failed("status 503", retry_after=says), 1_000.0)
        assert trusted.ask_again_at == 1_000.0 + wait
        assert not trusted.may_ask(1_000.0 + wait - 0.1)
        assert trusted.may_ask(1_000.0 + wait)
    trusted.learn(Failed("down"), 2_000.0)
    assert trusted.ask_again_at == 2_010.0, "it was no failure that counts"
