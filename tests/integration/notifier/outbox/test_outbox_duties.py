"""Duties, in both databases."""

from __future__ import annotations

from outbox_samples import NOW

from ringback_notifier.outbox import Duty, Outbox


def test_one_relay_holds_a_duty(outbox: Outbox) -> None:
    """While one sweeps, the others do not; it may prolong its time."""
    assert outbox.take_duty("sweep", "relay-1", now=NOW, until=NOW + 60)
    assert not outbox.take_duty("sweep", "relay-2", now=NOW + 30, until=NOW + 90)
    assert outbox.take_duty("sweep", "relay-1", now=NOW + 50, until=NOW + 110)
    assert not outbox.take_duty("sweep", "relay-2", now=NOW + 109, until=NOW + 200)


def test_a_duty_whose_time_is_up_is_taken_over_with_its_value(outbox: Outbox) -> None:
    """The next relay goes on where the killed one was; the killed one has lost it."""
    outbox.take_duty("sweep", "killed", now=NOW, until=NOW + 60)
    assert outbox.set_duty_value("sweep", "killed", "2026-07-02T00:00:00Z")
    assert outbox.take_duty("sweep", "relay-2", now=NOW + 60, until=NOW + 120)
    assert outbox.duty_value("sweep") == "2026-07-02T00:00:00Z"
    assert not outbox.set_duty_value("sweep", "killed", "too late")
    assert outbox.duty_value("sweep") == "2026-07-02T00:00:00Z"


def test_a_duty_that_was_left_is_free_at_once(outbox: Outbox) -> None:
    """A relay that stops keeps nobody waiting; who does not hold a duty cannot leave it."""
    outbox.take_duty("sweep", "relay-1", now=NOW, until=NOW + 60)
    outbox.set_duty_value("sweep", "relay-1", "here")
    outbox.leave_duty("sweep", "relay-2")
    assert not outbox.take_duty("sweep", "relay-2", now=NOW, until=NOW + 60)
    outbox.leave_duty("sweep", "relay-1")
    assert outbox.take_duty("sweep", "relay-2", now=NOW, until=NOW + 60)
    assert outbox.duty_value("sweep") == "here"


def test_an_unknown_duty_has_no_value(outbox: Outbox) -> None:
    """Nobody has swept yet, so there is nothing to go on from."""
    assert outbox.duty_value("sweep") is None
    assert not outbox.set_duty_value("sweep", "relay-1", "x")


def test_duties_are_listed_by_prefix(outbox: Outbox) -> None:
    """Relays that are alive, and those that were, are found by the name of their heartbeat, taken literally."""
    outbox.take_duty("relay_b", "b", now=NOW, until=NOW + 60)
    outbox.take_duty("relay_a", "a", now=NOW, until=NOW + 30)
    outbox.set_duty_value("relay_a", "a", "3.3.2")
    outbox.take_duty("relayXc", "c", now=NOW, until=NOW + 60)
    assert outbox.duties("relay_") == [
        Duty(name="relay_a", holder="a", until=NOW + 30, value="3.3.2"),
        Duty(name="relay_b", holder="b", until=NOW + 60, value=None),
    ]


def test_heartbeats_of_the_dead_are_forgotten(outbox: Outbox) -> None:
    """Old heartbeats go; a duty of another name, such as the sweep's, keeps its value."""
    for name in ("relay:a", "relay:b", "sweep"):
        outbox.take_duty(name, "x", now=NOW, until=NOW + 30 if name != "relay:b" else NOW + 90)
    assert outbox.forget_duties("relay:", before=NOW + 60) == 1
    assert [duty.name for duty in outbox.duties("")] == ["relay:b", "sweep"]
