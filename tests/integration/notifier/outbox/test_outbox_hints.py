"""Hints, in both databases."""

from __future__ import annotations

from outbox_samples import NOW, make_event, make_hint, row

from ringback_notifier.outbox import HintRow, Outbox, run_key


def test_a_hint_is_taken_as_it_was_written(outbox: Outbox) -> None:
    """What the listener saw reaches the relay, with the number of looks."""
    assert outbox.add_hints([make_hint(state="failed")], now=NOW) == 1
    assert outbox.take_hints(now=NOW, limit=10, again_at=NOW + 1) == [
        HintRow(
            key="msg_0001",
            dag_id="sales_report",
            run_id="ext__1",
            event_id="msg_0001",
            state="failed",
            seen_by="listener",
            looks=1,
            created_at=NOW,
        )
    ]


def test_a_hint_without_an_event_id_is_kept_by_its_run(outbox: Outbox) -> None:
    """A callback that knows neither conf nor state still says which run to look at."""
    outbox.add_hints([make_hint(event_id=None, state=None, seen_by="callback")], now=NOW)
    (hint,) = outbox.take_hints(now=NOW, limit=10, again_at=NOW + 1)
    assert (hint.key, hint.event_id, hint.state) == (run_key("sales_report", "ext__1"), None, None)


def test_a_hint_is_written_once(outbox: Outbox) -> None:
    """A second hint with the same key, in the same batch or later, changes nothing and does not count."""
    assert outbox.add_hints([make_hint(), make_hint(state="failed")], now=NOW) == 1
    assert outbox.add_hints([make_hint(due_at=NOW + 9), make_hint(2)], now=NOW + 1) == 1
    assert row(outbox, "msg_0001").state == "success"
    assert row(outbox, "msg_0001").due_at == NOW


def test_a_hint_of_what_is_known_already_is_ignored(outbox: Outbox) -> None:
    """The listener cannot undo what the relay knows."""
    outbox.enqueue([make_event()], now=NOW)
    assert outbox.add_hints([make_hint()], now=NOW) == 0
    assert outbox.status_of("msg_0001") == "due"


def test_no_hints_are_no_work(outbox: Outbox) -> None:
    """Empty batches are allowed everywhere."""
    assert outbox.add_hints([], now=NOW) == 0
    outbox.postpone_hints({})
    outbox.drop_hints([])
    assert outbox.enqueue([], now=NOW) == set()
    outbox.settle("relay-1", [], now=NOW)
    assert outbox.known([]) == outbox.hinted([]) == set()


def test_a_taken_hint_comes_again_later(outbox: Outbox) -> None:
    """Whoever takes a hint has it to himself until ``again_at``; a relay that dies loses nothing."""
    outbox.add_hints([make_hint()], now=NOW)
    outbox.take_hints(now=NOW, limit=10, again_at=NOW + 1)
    assert outbox.take_hints(now=NOW + 0.9, limit=10, again_at=NOW + 2) == []
    assert [hint.looks for hint in outbox.take_hints(now=NOW + 1, limit=10, again_at=NOW + 2)] == [2]


def test_hints_that_are_due_longest_come_first(outbox: Outbox) -> None:
    """With a limit, the oldest duty is met first, and what is not due is left."""
    outbox.add_hints([make_hint(n, due_at=NOW - n) for n in (1, 2, 3)] + [make_hint(4, due_at=NOW + 1)], now=NOW)
    assert {hint.key for hint in outbox.take_hints(now=NOW, limit=2, again_at=NOW + 9)} == {"msg_0002", "msg_0003"}
    assert {hint.key for hint in outbox.take_hints(now=NOW, limit=9, again_at=NOW + 9)} == {"msg_0001"}


def test_each_hint_is_postponed_by_its_own_time(outbox: Outbox) -> None:
    """A relay sets a pace for every hint, in one call."""
    outbox.add_hints([make_hint(1), make_hint(2), make_hint(3)], now=NOW)
    outbox.enqueue([make_event(3)], now=NOW)
    outbox.postpone_hints({"msg_0001": NOW + 0.02, "msg_0002": NOW + 30, "msg_0003": NOW + 30, "unknown": NOW})
    assert [row(outbox, f"msg_000{n}").due_at for n in (1, 2, 3)] == [NOW + 0.02, NOW + 30, NOW]


def test_only_hints_are_dropped(outbox: Outbox) -> None:
    """What has become an event meanwhile survives."""
    outbox.add_hints([make_hint(1), make_hint(2), make_hint(3)], now=NOW)
    outbox.enqueue([make_event(2)], now=NOW)
    outbox.drop_hints(["msg_0001", "msg_0002", "unknown"])
    assert outbox.hinted(["msg_0001", "msg_0002", "msg_0003"]) == {"msg_0003"}
    assert outbox.known(["msg_0001", "msg_0002", "msg_0003"]) == {"msg_0002"}


def test_a_thousand_ids_are_asked_for_at_once(outbox: Outbox) -> None:
    """A sweep's page may be larger than what one statement takes."""
    outbox.enqueue([make_event(n) for n in range(1100)], now=NOW)
    ids = [f"msg_{n:04d}" for n in range(1500)]
    assert len(outbox.known(ids)) == 1100
    assert outbox.hinted(ids) == set()
