"""Whose event is attempted next."""

from __future__ import annotations

from dataclasses import replace

from ringback_notifier.outbox._rows import Leased
from ringback_notifier.relay._lanes import Lanes


def rows(host: str, count: int, start: int = 0) -> list[Leased]:
    return [
        Leased(
            event_id=f"{host}-{number}",
            dag_id="d",
            run_id="r",
            destination="default",
            url=f"https://{host}/",
            host=host,
            body=b"{}",
            attempts=0,
            created_at=0.0,
        )
        for number in range(start, start + count)
    ]


def taken(lanes: Lanes) -> list[str]:
    events = []
    while (row := lanes.take()) is not None:
        events.append(row.event_id)
    return events


def test_a_host_gets_no_more_than_its_share() -> None:
    """Of one host at most so many are in flight, however many wait."""
    lanes = Lanes(concurrency=10, host_concurrency=3)
    lanes.add(rows("a", 5), now=0.0)
    assert taken(lanes) == ["a-0", "a-1", "a-2"]
    assert (lanes.flying, lanes.waiting) == (3, 2)


def test_all_together_get_no_more_than_the_limit() -> None:
    """The overall limit holds over all hosts."""
    lanes = Lanes(concurrency=4, host_concurrency=3)
    lanes.add(rows("a", 3) + rows("b", 3), now=0.0)
    assert len(taken(lanes)) == 4


def test_hosts_take_turns() -> None:
    """A host with many events does not go first with all of them."""
    lanes = Lanes(concurrency=10, host_concurrency=3)
    lanes.add(rows("a", 3) + rows("b", 2), now=0.0)
    assert taken(lanes) == ["a-0", "b-0", "a-1", "b-1", "a-2"]


def test_an_end_makes_room_for_the_next() -> None:
    """When an attempt is over, the host's next event is taken."""
    lanes = Lanes(concurrency=10, host_concurrency=1)
    lanes.add(rows("a", 2), now=0.0)
    assert taken(lanes) == ["a-0"]
    lanes.landed("a", now=0.1)
    assert taken(lanes) == ["a-1"]


def test_of_a_host_that_takes_nothing_only_few_are_kept() -> None:
    """What a dead host's lane cannot hold is given back, and the host counts as full."""
    lanes = Lanes(concurrency=10, host_concurrency=3)
    surplus = lanes.add(rows("dead", 100), now=0.0)
    assert len(surplus) == 94
    assert taken(lanes) == ["dead-0", "dead-1", "dead-2"]
    assert lanes.full() == {"dead"}
    assert lanes.add(rows("alive", 1), now=0.0) == []
    assert taken(lanes) == ["alive-0"]


def test_of_a_fast_host_more_are_kept() -> None:
    """A host that takes hundreds in a second may have half a second's worth waiting."""
    lanes = Lanes(concurrency=100, host_concurrency=20)
    lanes.add(rows("fast", 40), now=0.0)
    for number in range(40):
        assert lanes.take() is not None
        lanes.landed("fast", now=0.01 * number)
    assert lanes.add(rows("fast", 200), now=0.5) != []
    assert lanes.waiting > 40


def test_of_a_host_that_is_probed_one_is_kept() -> None:
    """A half-open host gets one event, and the rest is given back."""
    lanes = Lanes(concurrency=10, host_concurrency=3)
    surplus = lanes.add(rows("a", 4), now=0.0, probed={"a": 1})
    assert [row.event_id for row in surplus] == ["a-1", "a-2", "a-3"]
    assert taken(lanes) == ["a-0"]


def test_what_was_tried_least_is_the_probe() -> None:
    """Of a host that is down, whatever was never tried goes first; elsewhere the order stays as it was."""
    lanes = Lanes(concurrency=10, host_concurrency=3)
    tried = [replace(row, attempts=3 - number) for number, row in enumerate(rows("a", 4))]
    healthy = [replace(row, attempts=3 - number) for number, row in enumerate(rows("b", 2))]
    surplus = lanes.add([*tried, *healthy], now=0.0, probed={"a": 2})
    assert sorted(row.event_id for row in surplus) == ["a-0", "a-1"]
    assert [event for event in taken(lanes) if event.startswith("a")] == ["a-3", "a-2"]
    lanes = Lanes(concurrency=10, host_concurrency=3)
    lanes.add(healthy, now=0.0, probed={"a": 2})
    assert taken(lanes) == ["b-0", "b-1"]


def test_waiting_events_can_be_withdrawn() -> None:
    """When a circuit opens, what waits for that host is given back, and nothing of it is taken any more."""
    lanes = Lanes(concurrency=10, host_concurrency=2)
    lanes.add(rows("a", 4) + rows("b", 1), now=0.0)
    assert lanes.take() is not None
    assert [row.event_id for row in lanes.withdraw("a")] == ["a-1", "a-2", "a-3"]
    assert taken(lanes) == ["b-0"]
    assert lanes.withdraw("nobody") == []
    assert lanes.waiting == 0


def test_events_that_waited_too_long_are_given_back() -> None:
    """What has waited since before a moment goes back; what came later stays."""
    lanes = Lanes(concurrency=10, host_concurrency=2)
    lanes.add(rows("a", 3), now=0.0)
    assert lanes.take() is not None
    lanes.add(rows("a", 1, start=3), now=20.0)
    assert [row.event_id for row in lanes.stale(before=10.0)] == ["a-1", "a-2"]
    assert taken(lanes) == ["a-3"]


def test_nothing_is_wanted_while_enough_waits() -> None:
    """New leases are asked for when half of what may wait is gone."""
    lanes = Lanes(concurrency=4, host_concurrency=4)
    assert lanes.wanted() == 4
    lanes.add(rows("a", 2) + rows("b", 1), now=0.0)
    assert lanes.wanted() == 0
    taken(lanes)
    assert lanes.wanted() >= 4


def test_full_lanes_do_not_keep_other_hosts_waiting() -> None:
    """However much waits for hosts that are slow, events for others are still asked for."""
    lanes = Lanes(concurrency=4, host_concurrency=2)
    for host in ("a", "b", "c"):
        lanes.add(rows(host, 10), now=0.0)
    taken(lanes)
    assert lanes.full() == {"a", "b", "c"}
    assert lanes.wanted() == 4


def test_hosts_are_forgotten_when_nothing_is_left_of_them() -> None:
    """A relay that serves many hosts does not remember them all, but it does for a while."""
    lanes = Lanes(concurrency=4, host_concurrency=4)
    lanes.add(rows("a", 1), now=0.0)
    assert lanes.busy() == {"a"}
    lanes.take()
    lanes.landed("a", now=0.1)
    assert lanes.busy() == set()
    lanes.stale(before=0.05)
    assert list(lanes._lanes) == ["a"]
    lanes.stale(before=0.2)
    assert lanes._lanes == {}
