"""The circuit breaker of a host."""

from __future__ import annotations

import pytest

from ringback_notifier.relay._breaker import Breaker

HOST, OTHER = "portal.example:443", "other.example:443"


def broken(breaker: Breaker, now: float = 0.0) -> Breaker:
    for _ in range(5):
        breaker.failed(HOST, now)
    return breaker


def test_five_failures_in_a_row_open_it() -> None:
    """The fifth failure opens the circuit, and only it says so."""
    breaker = Breaker()
    assert [breaker.failed(HOST, 0.0) for _ in range(6)] == [False, False, False, False, True, False]
    assert breaker.state(HOST, 1.0) == "open"
    assert breaker.blocked(1.0) == {HOST}


def test_an_answer_in_between_counts_from_zero() -> None:
    """Failures only count in a row."""
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(HOST, 0.0)
    breaker.succeeded(HOST)
    assert not breaker.failed(HOST, 0.0)
    assert breaker.state(HOST, 0.0) == "closed"


def test_other_hosts_are_not_concerned() -> None:
    """A host that is down closes no door but its own."""
    assert broken(Breaker()).state(OTHER, 0.0) == "closed"


def test_after_the_cool_down_one_probe_is_let_through() -> None:
    """Half open, the circuit lets one attempt pass and is shut behind it."""
    breaker = broken(Breaker())
    assert breaker.state(HOST, 29.9) == "open"
    assert breaker.state(HOST, 30.0) == "half_open"
    breaker.started(HOST)
    assert breaker.state(HOST, 30.0) == "open"
    assert breaker.blocked(31.0) == {HOST}


def test_a_good_probe_closes_it() -> None:
    """One answer is enough."""
    breaker = broken(Breaker())
    breaker.started(HOST)
    breaker.succeeded(HOST)
    assert breaker.state(HOST, 30.0) == "closed"
    assert breaker.reopens(HOST) is None


def test_each_bad_probe_doubles_the_cool_down_up_to_a_limit() -> None:
    """30 s, 60 s, 120 s, 240 s, and from then on 300 s."""
    breaker = broken(Breaker())
    now, waits = 30.0, []
    for _ in range(5):
        breaker.started(HOST)
        assert breaker.failed(HOST, now)
        reopens = breaker.reopens(HOST)
        assert reopens is not None
        waits.append(reopens - now)
        now = reopens
    assert waits == [60, 120, 240, 300, 300]


def test_stragglers_do_not_prolong_it() -> None:
    """Attempts that were in flight when the circuit opened change nothing when they fail."""
    breaker = broken(Breaker())
    assert not breaker.failed(HOST, 10.0)
    assert breaker.reopens(HOST) == 30.0


def test_a_straggler_that_succeeds_closes_it() -> None:
    """An answer is an answer, whenever the request was sent."""
    breaker = broken(Breaker())
    breaker.succeeded(HOST)
    assert breaker.state(HOST, 1.0) == "closed"


def test_a_probe_that_was_never_sent_leaves_it_half_open() -> None:
    """If the probe says nothing about the host, the next event is the probe."""
    breaker = broken(Breaker())
    breaker.started(HOST)
    breaker.abandoned(HOST)
    assert breaker.state(HOST, 31.0) == "half_open"


def test_it_tells_for_how_long_a_host_has_been_down() -> None:
    """From the first opening on, through every probe that failed, to the first answer."""
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(HOST, 50.0)
    assert breaker.down_for(HOST, 90.0) == 0.0
    breaker.failed(HOST, 100.0)
    assert breaker.down_for(HOST, 130.0) == 30.0
    breaker.started(HOST)
    breaker.failed(HOST, 130.0)
    assert breaker.down_for(HOST, 400.0) == 300.0
    assert breaker.down_for(OTHER, 400.0) == 0.0
    breaker.succeeded(HOST)
    assert breaker.down_for(HOST, 500.0) == 0.0


def test_a_host_that_nobody_asked_for_long_is_not_known_to_have_been_down() -> None:
    """A day between two probes is an event's longest pause; after more than that it counts from the beginning."""
    breaker, day = broken(Breaker()), 86_400.0
    for moment, down in ((day, day), (2 * day, 2 * day), (4 * day, 0.0), (5 * day, day)):
        breaker.started(HOST)
        breaker.failed(HOST, moment)
        assert breaker.down_for(HOST, moment) == down


def test_it_is_patient_once_its_cool_down_grows_no_more() -> None:
    """Then it has been down for some minutes, and is asked every five."""
    breaker, now, patient = broken(Breaker()), 30.0, []
    for _ in range(4):
        patient.append(breaker.is_patient(HOST))
        breaker.started(HOST)
        breaker.failed(HOST, now)
        now = breaker.reopens(HOST) or now
    assert patient == [False] * 4
    assert breaker.is_patient(HOST)


@pytest.mark.parametrize("probing", [True, False])
def test_it_tells_when_the_next_probe_is_due(probing: bool) -> None:
    """The time counts only while no probe is on its way."""
    breaker = broken(Breaker(), now=100.0)
    if probing:
        breaker.started(HOST)
    assert breaker.next_probe() == (None if probing else 130.0)


def test_hosts_are_not_remembered_for_ever() -> None:
    """A thousand hosts that once failed are forgotten after an hour; one that is open is not."""
    breaker = broken(Breaker())
    for number in range(1_000):
        breaker.failed(f"h{number}:443", 0.0)
    breaker.failed("late:443", 4_000.0)
    assert len(breaker._circuits) == 2
    assert breaker.state(HOST, 1.0) == "open"


def test_a_probe_that_says_nothing_does_not_silence_the_others() -> None:
    """Of twenty probes one was never sent: those that failed open the circuit once more, and for longer."""
    breaker = broken(Breaker())
    breaker.started(HOST)
    breaker.abandoned(HOST)
    assert breaker.failed(HOST, 31.0)
    assert breaker.reopens(HOST) == 91.0
