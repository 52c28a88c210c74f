"""What relays take, give back and finish, in both databases."""

from __future__ import annotations

import pytest
from outbox_samples import NOW, failed, lease, make_attempt, make_event, make_hint, row, settled, settlement

from ringback_notifier.outbox import Leased, Outbox, run_key


def test_an_enqueued_event_is_leased_with_all_that_sending_takes(outbox: Outbox) -> None:
    """What the relay needs to send comes in one piece."""
    assert outbox.enqueue([make_event()], now=NOW) == {"msg_0001"}
    assert outbox.lease(owner="relay-1", now=NOW, until=NOW + 60, limit=1) == [
        Leased(
            event_id="msg_0001",
            dag_id="sales_report",
            run_id="ext__1",
            destination="default",
            url="https://Portal.example/airflow/completions?x=1",
            host="portal.example:443",
            body=b'{"by":"relay"}',
            attempts=0,
            created_at=NOW,
            ended_at=make_event().ended_at,
        )
    ]


def test_only_news_is_enqueued(outbox: Outbox) -> None:
    """New events and hints become due and are named; everything else is left alone, also a second of the same id."""
    outbox.add_hints([make_hint(2)], now=NOW - 3)
    settled(outbox, 3, "delivered")
    written = outbox.enqueue([make_event(1), make_event(1), make_event(2), make_event(3)], now=NOW)
    assert written == {"msg_0001", "msg_0002"}
    assert outbox.counts()["due"] == 2
    assert row(outbox, "msg_0003").status == "delivered"
    assert (row(outbox, "msg_0002").created_at, row(outbox, "msg_0002").reported_by) == (NOW - 3, "relay")


def test_enqueueing_drops_the_hints_that_it_answers(outbox: Outbox) -> None:
    """The hint goes and the event comes in one transaction."""
    outbox.add_hints([make_hint(1, event_id=None), make_hint(2)], now=NOW)
    outbox.enqueue([make_event(1)], now=NOW, drop=[run_key("sales_report", "ext__1"), "msg_0001"])
    assert outbox.counts() == {**outbox.counts(), "hint": 1, "due": 1}


def test_a_refusal_is_written_with_its_reason(outbox: Outbox) -> None:
    """A malformed request is visible in the outbox, although there is nothing to send; so is one that was a hint."""
    outbox.add_hints([make_hint(2)], now=NOW)
    assert outbox.refuse(make_event(1, url="", body=b""), "callback.url is missing", now=NOW) is True
    assert outbox.refuse(make_event(2), "not allowed", now=NOW) is True
    assert [row(outbox, key).status for key in ("msg_0001", "msg_0002")] == ["refused", "refused"]
    assert row(outbox, "msg_0001").settled_at == NOW
    assert [attempt.error for attempt in outbox.attempts_of("msg_0001")] == ["callback.url is missing"]


def test_what_is_there_is_not_refused(outbox: Outbox) -> None:
    """A refusal never takes an event away from those who deliver it."""
    outbox.enqueue([make_event()], now=NOW)
    assert outbox.refuse(make_event(), "not allowed", now=NOW) is False
    assert row(outbox, "msg_0001").status == "due"
    assert outbox.attempts_of("msg_0001") == []


def test_a_leased_event_is_nobody_elses(outbox: Outbox) -> None:
    """Two relays never hold one event."""
    outbox.enqueue([make_event(n) for n in range(5)], now=NOW)
    assert len(lease(outbox, "relay-1", limit=3)) == 3
    assert len(lease(outbox, "relay-2")) == 2
    assert lease(outbox, "relay-3") == []


def test_a_lease_that_ran_out_is_taken_over(outbox: Outbox) -> None:
    """A relay that was killed loses its events to the next one when its time is up, and not before."""
    outbox.enqueue([make_event()], now=NOW)
    lease(outbox, "killed")
    assert lease(outbox, "relay-2", now=NOW + 59) == []
    assert lease(outbox, "relay-2", now=NOW + 60) == ["msg_0001"]
    assert row(outbox, "msg_0001").leased_by == "relay-2"


def test_what_is_due_longest_is_leased_first(outbox: Outbox) -> None:
    """A limit takes the oldest duties; what is not due yet is not taken."""
    for number, due_at in ((1, NOW - 1), (2, NOW - 3), (3, NOW - 2), (4, NOW + 1)):
        outbox.record(make_event(number), [], status="due", due_at=due_at, now=NOW)
    assert set(lease(outbox, limit=2)) == {"msg_0002", "msg_0003"}
    assert lease(outbox) == ["msg_0001"]


def test_hosts_that_are_down_are_left_out(outbox: Outbox) -> None:
    """While a breaker is open, its host's events stay where they are and hold nobody up."""
    outbox.enqueue([make_event(1), make_event(2, url="http://Other.example:8080/x")], now=NOW)
    assert lease(outbox, not_hosts={"portal.example:443"}) == ["msg_0002"]
    assert lease(outbox, not_hosts=["portal.example:443", "nowhere:1"]) == []
    assert lease(outbox) == ["msg_0001"]


def test_a_delivery_settles(outbox: Outbox) -> None:
    """A delivered event is done, with its attempt counted and on record."""
    outbox.enqueue([make_event()], now=NOW)
    lease(outbox)
    attempt = make_attempt(status=204, error=None)
    outbox.settle("relay-1", [settlement("msg_0001", "delivered", attempt=attempt)], now=NOW + 1)
    found = row(outbox, "msg_0001")
    assert (found.status, found.settled_at, found.attempts, found.leased_by) == ("delivered", NOW + 1, 1, None)
    assert outbox.attempts_of("msg_0001") == [attempt]
    assert lease(outbox, now=NOW + 999) == []


def test_a_failure_is_due_again_each_at_its_own_time(outbox: Outbox) -> None:
    """One call settles many events, each with its own next time; without an attempt, none is counted."""
    outbox.enqueue([make_event(n) for n in (1, 2, 3)], now=NOW)
    lease(outbox)
    outbox.settle(
        "relay-1",
        [
            settlement("msg_0001", "due", due_at=NOW + 5, attempt=make_attempt()),
            settlement("msg_0002", "due", due_at=NOW + 300, attempt=make_attempt()),
            settlement("msg_0003", "due", due_at=NOW + 7),
        ],
        now=NOW + 1,
    )
    found = [row(outbox, f"msg_000{n}") for n in (1, 2, 3)]
    assert [(event.due_at, event.attempts) for event in found] == [(NOW + 5, 1), (NOW + 300, 1), (NOW + 7, 0)]
    assert {(event.status, event.leased_by, event.settled_at) for event in found} == {("due", None, None)}
    (again,) = outbox.lease(owner="relay-2", now=NOW + 5, until=NOW + 60, limit=9)
    assert (again.event_id, again.attempts) == ("msg_0001", 1)


@pytest.mark.parametrize("status", ["dead", "gone", "refused"])
def test_giving_up_settles(outbox: Outbox, status: str) -> None:
    """What nobody will try again is not due, and says since when."""
    event_id = settled(outbox, 1, status)
    assert (row(outbox, event_id).status, row(outbox, event_id).settled_at) == (status, NOW + 1)
    assert lease(outbox, now=NOW + 999) == []


@pytest.mark.parametrize("status", ["due", "dead", "refused"])
def test_who_lost_the_lease_decides_nothing(outbox: Outbox, status: str) -> None:
    """A relay that comes back after its time leaves the event to the new holder; its attempt is kept."""
    outbox.enqueue([make_event()], now=NOW)
    lease(outbox, "slow")
    lease(outbox, "relay-2", now=NOW + 60)
    outbox.settle("slow", [settlement("msg_0001", status, attempt=make_attempt())], now=NOW + 61)
    found = row(outbox, "msg_0001")
    assert (found.status, found.leased_by, found.attempts) == ("leased", "relay-2", 0)
    assert len(outbox.attempts_of("msg_0001")) == 1


@pytest.mark.parametrize("status", ["delivered", "gone"])
def test_who_lost_the_lease_may_still_have_delivered(outbox: Outbox, status: str) -> None:
    """What the receiver answered counts, whoever holds the lease by then."""
    outbox.enqueue([make_event()], now=NOW)
    lease(outbox, "slow")
    lease(outbox, "relay-2", now=NOW + 60)
    outbox.settle("slow", [settlement("msg_0001", status, attempt=make_attempt())], now=NOW + 61)
    outbox.settle("relay-2", [settlement("msg_0001", "due", attempt=make_attempt())], now=NOW + 62)
    assert (row(outbox, "msg_0001").status, row(outbox, "msg_0001").settled_at) == (status, NOW + 61)


def test_a_delivered_event_stays_delivered(outbox: Outbox) -> None:
    """A late 410 does not undo a 204."""
    settled(outbox, 1, "delivered")
    outbox.settle("slow", [settlement("msg_0001", "gone", attempt=make_attempt())], now=NOW + 9)
    assert (row(outbox, "msg_0001").status, row(outbox, "msg_0001").settled_at) == ("delivered", NOW + 1)


def test_settling_what_is_gone_from_the_outbox_is_no_error(outbox: Outbox) -> None:
    """A row that was purged meanwhile leaves no attempt behind."""
    outbox.settle("relay-1", [settlement("msg_0009", "delivered", attempt=make_attempt())], now=NOW)
    assert outbox.attempts_of("msg_0009") == []


def test_released_events_are_due_without_an_attempt(outbox: Outbox) -> None:
    """A relay that stops gives back what it has not sent, by name or everything, and nobody else's."""
    outbox.enqueue([make_event(n) for n in range(5)], now=NOW)
    mine = lease(outbox, "relay-1", limit=3)
    lease(outbox, "relay-2")
    assert outbox.release("relay-1", event_ids=[mine[0], "msg_0004"], due_at=NOW + 1) == 1
    assert outbox.release("relay-1", event_ids=None, due_at=NOW + 2) == 2
    assert outbox.release("relay-1", event_ids=None, due_at=NOW + 2) == 0
    assert [(row(outbox, id_).status, row(outbox, id_).due_at, row(outbox, id_).attempts) for id_ in mine] == [
        ("due", NOW + 1, 0),
        ("due", NOW + 2, 0),
        ("due", NOW + 2, 0),
    ]
    assert outbox.counts()["leased"] == 2


def test_a_host_that_is_dead_for_too_long_is_given_up(outbox: Outbox) -> None:
    """Old events of that host, not its young ones nor another's, are dead, and a row says why."""
    outbox.enqueue([make_event(1), make_event(2, url="https://other.example/")], now=NOW)
    outbox.enqueue([make_event(3)], now=NOW + 10)
    failed(outbox, 1, 2, 3)
    assert outbox.expire("portal.example:443", before=NOW + 1, now=NOW + 20) == 1
    found = row(outbox, "msg_0001")
    assert (found.status, found.settled_at, found.attempts) == ("dead", NOW + 20, 1)
    (_, given_up) = outbox.attempts_of("msg_0001")
    assert "portal.example:443" in (given_up.error or "")
    assert outbox.counts()["due"] == 2


def test_an_event_that_was_never_tried_is_not_given_up(outbox: Outbox) -> None:
    """However old it is, and whatever became of others."""
    outbox.enqueue([make_event()], now=NOW)
    assert outbox.expire("portal.example:443", before=NOW + 1, now=NOW + 20) == 0
    assert row(outbox, "msg_0001").status == "due"


def test_the_next_due_time_covers_hints_and_leases(outbox: Outbox) -> None:
    """A relay sleeps until the first of what is due, of what others may lose, and of hints; never into the past."""
    assert outbox.next_due(now=NOW) is None
    outbox.add_hints([make_hint(1, due_at=NOW + 90)], now=NOW)
    assert outbox.next_due(now=NOW) == NOW + 90
    outbox.enqueue([make_event(2)], now=NOW)
    lease(outbox)
    assert outbox.next_due(now=NOW) == NOW + 60
    assert outbox.next_due(now=NOW, not_hosts=["portal.example:443"]) == NOW + 90
    assert outbox.next_due(now=NOW + 70) == NOW + 70
