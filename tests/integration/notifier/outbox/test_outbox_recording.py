"""What the fast paths write down, in both databases."""

from __future__ import annotations

from typing import Any

import pytest
from outbox_samples import NOW, lease, make_attempt, make_event, make_hint, row, settled, settlement

from ringback_notifier.outbox import Attempt, Outbox, run_key


def record(outbox: Outbox, status: Any, *attempts: Attempt, **changes: Any) -> None:
    """Record as the final task does."""
    event = make_event(**{"body": b'{"by":"task"}', "reported_by": "task", **changes})
    outbox.record(event, attempts, status=status, due_at=NOW + 5, now=NOW)


def test_a_delivery_is_on_record_with_its_attempts(outbox: Outbox) -> None:
    """Of an event that the final task delivered, everything can be shown later."""
    failed = make_attempt(sender="task", status=None, error="timeout", excerpt="")
    delivered = make_attempt(sender="task", at=NOW + 1, status=204, error=None, excerpt="")
    record(outbox, "delivered", failed, delivered)
    found = row(outbox, "msg_0001")
    assert (found.status, found.settled_at, found.attempts, found.reported_by) == ("delivered", NOW, 0, "task")
    assert (found.host, found.url) == ("portal.example:443", "https://Portal.example/airflow/completions?x=1")
    assert (found.body, found.ended_at, found.created_at) == (b'{"by":"task"}', NOW - 2, NOW)
    assert outbox.attempts_of("msg_0001") == [failed, delivered]


def test_what_a_fast_path_could_not_deliver_is_due(outbox: Outbox) -> None:
    """The relay takes over at the time given, with a schedule of its own."""
    record(outbox, "due", make_attempt(sender="task"))
    assert lease(outbox, now=NOW + 4) == []
    (event,) = outbox.lease(owner="relay-1", now=NOW + 5, until=NOW + 65, limit=1)
    assert (event.body, event.attempts, event.host) == (b'{"by":"task"}', 0, "portal.example:443")


@pytest.mark.parametrize("status", ["due", "delivered", "gone", "refused"])
def test_a_hint_becomes_what_is_recorded(outbox: Outbox, status: str) -> None:
    """What the listener guessed, the fast path knows."""
    outbox.add_hints([make_hint(state="failed")], now=NOW - 1)
    record(outbox, status)
    found = row(outbox, "msg_0001")
    assert (found.status, found.state, found.reported_by, found.created_at) == (status, "success", "task", NOW - 1)
    assert outbox.take_hints(now=NOW + 9, limit=9, again_at=NOW) == []


@pytest.mark.parametrize("present", ["delivered", "gone"])
@pytest.mark.parametrize("new", ["delivered", "gone", "due", "refused"])
def test_the_end_stays_the_end(outbox: Outbox, present: str, new: str) -> None:
    """A delivered event is never made undelivered, nor is its body exchanged; the attempt is kept."""
    settled(outbox, 1, present)
    record(outbox, new, make_attempt(sender="task", at=NOW + 2))
    found = row(outbox, "msg_0001")
    assert (found.status, found.body, found.settled_at) == (present, b'{"by":"relay"}', NOW + 1)
    assert [attempt.sender for attempt in outbox.attempts_of("msg_0001")] == ["relay", "task"]


@pytest.mark.parametrize("new", ["delivered", "gone"])
@pytest.mark.parametrize("present", ["due", "leased", "dead", "refused"])
def test_an_end_wins_over_everything_else(outbox: Outbox, present: str, new: str) -> None:
    """However far the relay is, what reached the receiver did; nobody sends it again."""
    if present in ("due", "leased"):
        outbox.enqueue([make_event()], now=NOW)
        assert present == "due" or lease(outbox)
    else:
        settled(outbox, 1, present)
    record(outbox, new)
    found = row(outbox, "msg_0001")
    assert (found.status, found.leased_by, found.settled_at, found.body) == (new, None, NOW, b'{"by":"task"}')
    assert lease(outbox, now=NOW + 999) == []


@pytest.mark.parametrize("new", ["due", "refused"])
@pytest.mark.parametrize("present", ["due", "leased", "dead", "refused"])
def test_a_richer_body_replaces_a_poorer_one(outbox: Outbox, present: str, new: str) -> None:
    """The relay knows no result: while the event is not delivered, the task's body is better; its status stays."""
    if present in ("due", "leased"):
        outbox.enqueue([make_event()], now=NOW)
        assert present == "due" or lease(outbox)
    else:
        settled(outbox, 1, present)
    before = row(outbox, "msg_0001")
    record(outbox, new, ended_at=NOW - 1)
    after = row(outbox, "msg_0001")
    assert (after.status, after.due_at, after.leased_by) == (present, before.due_at, before.leased_by)
    assert (after.body, after.reported_by, after.ended_at) == (b'{"by":"task"}', "task", NOW - 1)


def test_a_body_of_a_task_stays(outbox: Outbox) -> None:
    """Of two fast paths the first one's body is as good as the second one's; a report without one replaces none."""
    record(outbox, "due")
    record(outbox, "due", body=b'{"by":"callback"}', reported_by="callback")
    assert row(outbox, "msg_0001").body == b'{"by":"task"}'
    outbox.enqueue([make_event(2)], now=NOW)
    record(outbox, "refused", event_id="msg_0002", body=b"")
    assert row(outbox, "msg_0002").body == b'{"by":"relay"}'


def test_a_report_answers_the_hint_on_its_run(outbox: Outbox) -> None:
    """A callback's hint on a run whose event id was unknown goes with the event; another run's stays."""
    unknown = {"event_id": None, "state": None}
    outbox.add_hints([make_hint(1, **unknown), make_hint(2, **unknown)], now=NOW)
    record(outbox, "delivered")
    assert outbox.hinted([run_key("sales_report", "ext__1"), run_key("sales_report", "ext__2")]) == {
        run_key("sales_report", "ext__2")
    }


def test_a_start_does_not_answer_the_hint_on_an_end(outbox: Outbox) -> None:
    """The report of a run's beginning leaves the hint on its ending alone."""
    outbox.add_hints([make_hint(event_id=None, state=None)], now=NOW)
    record(outbox, "delivered", state="running")
    assert outbox.hinted([run_key("sales_report", "ext__1")])


def test_a_strangers_answer_cannot_break_the_record(outbox: Outbox) -> None:
    """Characters that a database refuses are replaced, and what is too long is cut."""
    record(outbox, "due", make_attempt(error="\x00", excerpt="a\x00\udc80" + "é" * 1000))
    (attempt,) = outbox.attempts_of("msg_0001")
    assert attempt.error == "\ufffd"
    assert attempt.excerpt == "a\ufffd?" + "é" * 497


def test_the_status_of_an_unknown_event_is_none(outbox: Outbox) -> None:
    """Nothing is known of what nobody reported."""
    assert outbox.status_of("msg_0001") is None


def test_a_relay_that_comes_too_late_changes_nothing(outbox: Outbox) -> None:
    """A task delivers while the relay's attempt fails: the event stays delivered, with both attempts."""
    outbox.enqueue([make_event()], now=NOW)
    lease(outbox)
    record(outbox, "delivered", make_attempt(sender="task", status=204, error=None))
    outbox.settle("relay-1", [settlement("msg_0001", "due", attempt=make_attempt())], now=NOW + 2)
    found = row(outbox, "msg_0001")
    assert (found.status, found.settled_at, found.attempts) == ("delivered", NOW, 0)
    assert [attempt.sender for attempt in outbox.attempts_of("msg_0001")] == ["task", "relay"]
