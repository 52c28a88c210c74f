"""Redelivering, purging and looking, in both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from outbox_samples import NOW, failed, lease, make_attempt, make_event, make_hint, row, settled, settlement

from ringback_notifier.outbox import EventFilter, Outbox, _redelivering


def test_redelivery_starts_a_new_schedule(outbox: Outbox) -> None:
    """A dead event is due now, with no attempt counted and the old ones on record."""
    settled(outbox, 1, "dead")
    assert outbox.redeliver(event_ids=["msg_0001", "unknown"], now=NOW + 9).number == 1
    found = row(outbox, "msg_0001")
    assert (found.status, found.due_at, found.attempts, found.settled_at) == ("due", NOW + 9, 0, None)
    assert len(outbox.attempts_of("msg_0001")) == 1
    assert lease(outbox, now=NOW + 9) == ["msg_0001"]


def test_a_redelivered_event_has_all_the_time_of_a_new_one(outbox: Outbox) -> None:
    """However old it is, a host that is still down does not have it given up at once."""
    settled(outbox, 1, "dead")
    outbox.redeliver(event_ids=["msg_0001"], now=NOW + 900)
    failed(outbox, 1, now=NOW + 900)
    assert outbox.expire("portal.example:443", before=NOW + 800, now=NOW + 901) == 0
    assert outbox.expire("portal.example:443", before=NOW + 901, now=NOW + 1_900) == 1


def test_delivered_events_are_sent_again_only_by_name_or_time(outbox: Outbox) -> None:
    """Who redelivers in bulk does not ring everybody again; a receiver that lost its data is, from then on."""
    for number, status in enumerate(("dead", "gone", "refused", "delivered"), start=1):
        settled(outbox, number, status)
    assert outbox.redeliver(now=NOW).number == 3
    assert outbox.counts()["delivered"] == 1
    assert outbox.redeliver(event_ids=["msg_0004"], now=NOW).number == 1
    with pytest.raises(ValueError, match="delivered is not one of"):
        outbox.redeliver(EventFilter(statuses=["delivered"]), now=NOW)
    settled(outbox, 5, "delivered")
    assert outbox.redeliver(EventFilter(since=NOW, statuses=["delivered"]), now=NOW).number == 1
    with pytest.raises(ValueError, match="leased is not one of"):
        outbox.redeliver(EventFilter(statuses=["leased"]), event_ids=["msg_0001"], now=NOW)


def test_what_was_never_built_is_not_redelivered(outbox: Outbox) -> None:
    """A malformed request left nothing to send."""
    outbox.refuse(make_event(url="", body=b""), "malformed", now=NOW)
    assert outbox.redeliver(event_ids=["msg_0001"], now=NOW).number == 0


def test_redelivery_is_narrowed_down(outbox: Outbox) -> None:
    """By DAG, destination, status and age; the end of the time span is not part of it."""
    settled(outbox, 1, "dead", dag_id="other")
    settled(outbox, 2, "dead", destination="portal")
    settled(outbox, 3, "gone")
    assert outbox.redeliver(EventFilter(dag_id="other"), now=NOW).number == 1
    assert outbox.redeliver(EventFilter(destination="portal"), now=NOW).number == 1
    assert outbox.redeliver(EventFilter(statuses=["dead"]), now=NOW).number == 0
    assert outbox.redeliver(EventFilter(since=NOW + 1), now=NOW).number == 0
    assert outbox.redeliver(EventFilter(until=NOW), now=NOW).number == 0
    assert outbox.redeliver(EventFilter(since=NOW, until=NOW + 1), now=NOW).number == 1


def test_an_event_that_waits_is_tried_now(outbox: Outbox) -> None:
    """Somebody who mended his receiver need not wait for the schedule."""
    outbox.record(make_event(), [], status="due", due_at=NOW + 9999, now=NOW)
    assert outbox.redeliver(event_ids=["msg_0001"], now=NOW).number == 0
    assert outbox.redeliver(EventFilter(statuses=["due"]), event_ids=["msg_0001"], now=NOW).number == 1
    assert lease(outbox) == ["msg_0001"]


def test_purge_takes_what_is_over_in_portions(outbox: Outbox) -> None:
    """Old settled events go with their attempts, and old hints; whatever is still to be done stays."""
    for number in range(1, 6):
        settled(outbox, number, "delivered")
    outbox.add_hints([make_hint(6)], now=NOW - 9)
    outbox.add_hints([make_hint(7)], now=NOW + 9)
    outbox.enqueue([make_event(8)], now=NOW - 9)
    portions = []
    while portions[-1:] != [0]:
        portions.append(outbox.purge(before=NOW + 2, limit=4))
    assert portions == [4, 2, 0]
    assert {event.event_id for event in outbox.find()} == {"msg_0007", "msg_0008"}
    assert outbox.attempts_of("msg_0001") == []


def test_purge_spares_what_is_young_enough(outbox: Outbox) -> None:
    """Retention counts from the moment an event was settled."""
    settled(outbox, 1, "dead")
    assert outbox.purge(before=NOW + 1) == 0
    assert outbox.purge(before=NOW + 1.5) == 1


def test_others_write_while_a_redelivery_searches(
    url: str, outbox: Outbox, opening: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search may take a while; and what somebody else has sent again and delivered by then is left alone."""
    settled(outbox, 1, "dead")
    settled(outbox, 2, "dead")
    other, search = opening(url, wait=0.2), _redelivering.found

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        places = search(*arguments, **options)
        assert other.redeliver(event_ids=["msg_0001"], now=NOW).number == 1
        assert lease(other) == ["msg_0001"]
        other.settle("relay-1", [settlement("msg_0001", "delivered")], now=NOW)
        return places

    monkeypatch.setattr(_redelivering, "found", meanwhile)
    assert outbox.redeliver(now=NOW).number == 1
    assert (outbox.status_of("msg_0001"), outbox.status_of("msg_0002")) == ("delivered", "due")


def test_a_redelivered_event_is_not_purged(outbox: Outbox) -> None:
    """What is due again is not over."""
    settled(outbox, 1, "dead")
    outbox.redeliver(now=NOW + 5)
    assert outbox.purge(before=NOW + 99) == 0


def test_every_status_is_counted(outbox: Outbox) -> None:
    """A status that nothing has is there, with zero."""
    settled(outbox, 1, "gone")
    outbox.add_hints([make_hint(2), make_hint(3)], now=NOW)
    assert outbox.counts() == {
        "hint": 2,
        "due": 0,
        "leased": 0,
        "delivered": 0,
        "dead": 0,
        "gone": 1,
        "refused": 0,
    }


def test_events_are_found_the_newest_first(outbox: Outbox) -> None:
    """Filters add up, and the limit counts from the newest."""
    outbox.enqueue([make_event(1)], now=NOW)
    outbox.enqueue([make_event(2, dag_id="other")], now=NOW + 1)
    outbox.enqueue([make_event(3, destination="portal")], now=NOW + 2)

    def found(**filters: object) -> list[str]:
        return [event.event_id for event in outbox.find(**filters)]  # type: ignore[arg-type]

    assert found() == ["msg_0003", "msg_0002", "msg_0001"]
    assert found(limit=1) == ["msg_0003"]
    assert found(dag_id="sales_report") == ["msg_0003", "msg_0001"]
    assert found(dag_id="sales_report", run_id="ext__1") == ["msg_0001"]
    assert found(destination="portal", statuses=["due"]) == ["msg_0003"]
    assert found(statuses=["dead"]) == []
    assert found(since=NOW + 1, until=NOW + 2) == ["msg_0002"]
    assert found(event_ids=["msg_0001", "msg_0009"]) == ["msg_0001"]


def test_attempts_are_listed_in_the_order_they_were_made(outbox: Outbox) -> None:
    """The whole story of an event can be read from the top."""
    made = [make_attempt(at=NOW + n, excerpt=str(n)) for n in range(5)]
    outbox.record(make_event(), made, status="due", due_at=NOW, now=NOW)
    assert outbox.attempts_of("msg_0001") == made
