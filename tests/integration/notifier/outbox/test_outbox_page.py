"""Pages, counts and single rows, in both databases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any, get_args

import pytest
from outbox_samples import NOW, lease, make_attempt, make_event, make_hint, settled, settlement
from sqlalchemy import text

from ringback_notifier.outbox import Cursor, EventFilter, EventRow, EventSummary, Outbox, Status, _search

DAGS = ("sales", "stock", "Sales_report", "a%b", "ünï", "-")
RUNS = ("scheduled__1", "manual__2", "50%", "5_0", "5x0", "ext__é")
DESTINATIONS = ("default", "portal")


@pytest.fixture
def mixed(outbox: Outbox) -> Outbox:
    """Three hundred rows of every status, many of them created in the same instant."""
    chance = random.Random(7)
    columns = "event_id, dag_id, run_id, destination, url, status, created_at, settled_at, body"
    with outbox._database.writing() as connection:
        for number in range(300):
            status = chance.choice(get_args(Status))
            hint, over = status == "hint", status not in ("hint", "due", "leased")
            connection.execute(
                text(
                    f"INSERT INTO ringback_event ({columns}, reported_by, schedule_from, due_at, attempts, looks) "
                    "VALUES (:id, :dag, :run, :destination, :url, :status, :at, :settled, :body, 'task', 0, 0, 0, 0)"
                ),
                {
                    "id": f"{chance.choice(('msg', 'MSG', 'run'))}_{number}",
                    "dag": chance.choice(DAGS),
                    "run": chance.choice(RUNS),
                    "destination": None if hint else chance.choice(DESTINATIONS),
                    "url": None if hint else "https://portal.example/",
                    "status": status,
                    "at": NOW + chance.randrange(40),
                    "settled": NOW if over else None,
                    "body": None if hint else b"{}",
                },
            )
    return outbox


def leaves(asked: EventFilter, row: EventSummary) -> bool:
    """Say in plain words what a filter means."""
    return (
        (asked.statuses is None or row.status in asked.statuses)
        and (asked.dag_ids is None or row.dag_id in asked.dag_ids)
        and asked.dag_id in (None, row.dag_id)
        and asked.run_id in (None, row.run_id)
        and (asked.run_id_contains or "") in row.run_id
        and asked.destination in (None, row.destination)
        and (asked.since is None or row.created_at >= asked.since)
        and (asked.until is None or row.created_at < asked.until)
    )


def some_filter(chance: random.Random) -> EventFilter:
    def maybe(values: Collection[Any]) -> Any:
        return chance.choice(list(values)) if chance.random() < 0.3 else None

    def some(values: Collection[Any]) -> Any:
        return chance.sample(list(values), chance.randrange(1, 5)) if chance.random() < 0.4 else None

    return EventFilter(
        statuses=some(get_args(Status)),
        dag_ids=some(DAGS),
        dag_id=maybe(DAGS),
        run_id=maybe(RUNS),
        run_id_contains=maybe(("_", "%", "5", "nothing", "é", "")),
        destination=maybe(DESTINATIONS),
        since=maybe((NOW + 5, NOW + 20)),
        until=maybe((NOW + 10, NOW + 30)),
    )


def walk(outbox: Outbox, asked: EventFilter, **how: int) -> list[EventSummary]:
    """Read page after page."""
    page = outbox.page(asked, **how)
    rows = page.rows
    while page.next is not None:
        before, page = page.next, outbox.page(asked, after=page.next, **how)
        assert page.next is None or page.next < before
        rows += page.rows
    return rows


def test_pages_have_every_row_that_a_filter_leaves_once_and_in_order(mixed: Outbox) -> None:
    """Whatever is asked, however small a page is, and however few rows one request looks at."""
    chance = random.Random(11)
    everything = walk(mixed, EventFilter(), limit=400)
    assert len(everything) == 300
    assert [(row.created_at, row.event_id) for row in everything] == sorted(
        ((row.created_at, row.event_id) for row in everything), reverse=True
    )
    for number in range(40):
        asked = some_filter(chance)
        expected = [row for row in everything if leaves(asked, row)]
        how = {"limit": chance.choice((9, 50)), "looks": chance.choice((60, 20_000)) if number else 7}
        assert walk(mixed, asked, **how) == expected, (asked, how)


def test_counts_are_right_or_say_that_there_may_be_more(mixed: Outbox) -> None:
    """A number without "or more" is the number; with it, there are at least so many."""
    chance = random.Random(13)
    everything = walk(mixed, EventFilter(), limit=400)
    exact = 0
    for _ in range(40):
        asked, cap = some_filter(chance), chance.choice((1, 20, 10_000))
        expected = Counter(row.status for row in everything if leaves(asked, row))
        for status, count in mixed.count(asked, cap=cap, looks=chance.choice((1, 30, 10_000))).items():
            assert count.number <= cap
            assert count.number <= expected[status] if count.or_more else count.number == expected[status], asked
            exact += not count.or_more
    assert exact > 100


def test_a_search_that_ends_early_says_how_far_it_came(mixed: Outbox) -> None:
    """Every row from there on was looked at, and the next request goes on behind it."""
    page = mixed.page(EventFilter(run_id_contains="nothing"), looks=40)
    assert page.rows == []
    assert page.next is not None
    assert page.searched_to == page.next.created_at
    everything = walk(mixed, EventFilter(), limit=400)
    assert everything[39].created_at == page.searched_to
    assert mixed.page(EventFilter(run_id_contains="nothing"), looks=400).next is None


def test_what_is_rare_is_found_by_the_index_that_leads_furthest_back(mixed: Outbox) -> None:
    """Of few looks, a busy DAG's own rows would use up all; the rare destination has but one row."""
    mixed.enqueue([make_event(1, dag_id="sales", destination="seldom")], now=NOW - 1)
    found = mixed.page(EventFilter(dag_id="sales", destination="seldom"), looks=5)
    assert [row.event_id for row in found.rows] == ["msg_0001"]


@pytest.mark.parametrize("dag_ids", [[], ["\x00"], ["\ud800"], ["nobody's"]])
def test_who_may_read_no_dag_reads_nothing(mixed: Outbox, dag_ids: list[str]) -> None:
    """Also where the list holds what no database can: it is never taken for "all"."""
    for asked in (EventFilter(dag_ids=dag_ids), EventFilter(dag_ids=dag_ids, dag_id="sales", statuses=["dead"])):
        assert mixed.page(asked).rows == []
        assert not any(count.number for count in mixed.count(asked).values())
        assert mixed.redeliver(replace(asked, statuses=None), now=NOW).number == 0
        assert mixed.redeliver(replace(asked, statuses=None), event_ids=["msg_1", "msg_2"], now=NOW).number == 0


@pytest.mark.parametrize("nonsense", ["\x00", "\ud800", "x" * 100_000, "' OR 1=1 --"])
def test_texts_that_no_row_can_hold_find_nothing(mixed: Outbox, nonsense: str) -> None:
    """And raise nothing."""
    for name in ("dag_id", "run_id", "run_id_contains", "destination"):
        assert mixed.page(EventFilter(**{name: nonsense})).rows == []  # type: ignore[arg-type]
    assert mixed.event(nonsense) is None
    assert mixed.redeliver(event_ids=[nonsense], now=NOW).number == 0


def test_a_list_reads_no_bodies_and_a_row_has_its_own(outbox: Outbox) -> None:
    """A body is twenty kilobytes."""
    outbox.enqueue([make_event(1, body=b"x" * 20_000)], now=NOW)
    (summary,) = outbox.page(EventFilter()).rows
    assert not isinstance(summary, EventRow)
    row = outbox.event("msg_0001")
    assert row is not None
    assert row.body == b"x" * 20_000
    assert {name: getattr(row, name) for name in EventSummary.__dataclass_fields__} == {
        name: getattr(summary, name) for name in EventSummary.__dataclass_fields__
    }
    assert outbox.event("msg_0002") is None


def test_new_rows_do_not_shift_a_page(outbox: Outbox) -> None:
    """Who reads on while events come in sees none twice and misses none."""
    outbox.enqueue([make_event(number) for number in range(4)], now=NOW)
    first = outbox.page(EventFilter(), limit=2)
    outbox.enqueue([make_event(number) for number in range(10, 14)], now=NOW + 1)
    second = outbox.page(EventFilter(), after=first.next, limit=2)
    assert [row.event_id for row in (*first.rows, *second.rows)] == ["msg_0003", "msg_0002", "msg_0001", "msg_0000"]


def test_redelivery_goes_in_steps_and_ends(outbox: Outbox) -> None:
    """Also if a relay delivers at once, or refuses again, what has just been made due: no event has two turns."""
    for number in range(10):
        settled(outbox, number, "refused")
    assert outbox.count_redeliverable() == (10, False)
    assert outbox.count_redeliverable(cap=4) == (4, True)
    steps = [outbox.redeliver(limit=4, now=NOW + 5)]
    while (after := steps[-1].next) is not None:
        leased = outbox.lease(owner="relay", now=NOW + 5, until=NOW + 60, limit=100)
        for event in leased:
            outbox.record(
                make_event(int(event.event_id[4:])), [make_attempt()], status="refused", due_at=0, now=NOW + 6
            )
        steps.append(outbox.redeliver(after=after, limit=4, now=NOW + 5))
        assert len(steps) < 10
    assert [step.number for step in steps] == [4, 4, 2]


def test_a_step_of_a_redelivery_looks_at_few_rows(mixed: Outbox) -> None:
    """It is one short transaction; what is to be sent again may lie far behind what is not."""
    found = [row.event_id for row in walk(mixed, EventFilter(statuses=["dead", "gone", "refused"]))]
    assert mixed.count_redeliverable().number == len(found)
    done, after = 0, None
    for _ in range(1_000):
        step = mixed.redeliver(EventFilter(run_id_contains="5"), after=after, limit=3, now=NOW)
        assert step.number <= 3
        done, after = done + step.number, step.next
        if after is None:
            break
    else:
        pytest.fail("it did not end")
    assert done == sum(mixed.event(event_id).run_id.startswith("5") for event_id in found)  # type: ignore[union-attr]
    assert mixed.count_redeliverable(EventFilter(run_id_contains="5")).number == 0


def test_named_events_are_sent_again_only_if_the_filter_leaves_them(outbox: Outbox) -> None:
    """Who names an event of a DAG that is not his sends nothing."""
    settled(outbox, 1, "dead", dag_id="mine")
    settled(outbox, 2, "dead", dag_id="theirs")
    both, mine = ["msg_0001", "msg_0002"], EventFilter(dag_ids=["mine"])
    assert outbox.count_redeliverable(mine, event_ids=both) == (1, False)
    assert outbox.redeliver(mine, event_ids=both, now=NOW).number == 1
    assert outbox.status_of("msg_0002") == "dead"


def test_what_is_to_be_purged_is_counted(outbox: Outbox) -> None:
    """Settled events and hints of that age; what waits is not counted, for it stays."""
    for number in range(3):
        settled(outbox, number, "delivered")
    outbox.add_hints([make_hint(7)], now=NOW)
    outbox.enqueue([make_event(8)], now=NOW)
    assert outbox.count_purgeable(before=NOW + 2) == (4, False)
    assert outbox.count_purgeable(before=NOW + 2, cap=2) == (2, True)
    assert outbox.count_purgeable(before=NOW) == (0, False)


def test_a_row_that_is_no_text_makes_no_list_unreadable(sqlite_url: str) -> None:
    """SQLite keeps any bytes as text; they are shown with a mark in place of what is no UTF-8."""
    outbox = Outbox.open(sqlite_url, wait=5)
    outbox.enqueue([make_event(1)], now=NOW)
    with outbox._database.writing() as connection:
        connection.execute(text("UPDATE ringback_event SET run_id = CAST(x'61ff62' AS TEXT)"))
    assert [row.run_id for row in outbox.page(EventFilter()).rows] == ["a\ufffdb"]
    outbox.close()


def test_a_place_may_be_anywhere(mixed: Outbox) -> None:
    """A cursor comes from a browser: whatever it says, it is a place in the order and nothing more."""
    for after in (Cursor(float("inf"), ""), Cursor(-1e300, "x"), Cursor(NOW + 20, "' OR 1=1 --"), Cursor(0, "")):
        mixed.page(EventFilter(), after=after)
    assert len(mixed.page(EventFilter(), after=Cursor(float("inf"), ""), limit=400).rows) == 300


def test_what_is_settled_while_a_page_is_read_is_listed_once(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open and settled rows are looked for one after the other, and the relay does not wait for that."""
    settled(outbox, 1, "delivered")
    outbox.enqueue([make_event(2)], now=NOW)
    assert lease(outbox) == ["msg_0002"]
    newest = _search._newest

    def then_settled(*arguments: Any) -> list[Cursor]:
        places = newest(*arguments)
        outbox.settle("relay-1", [settlement("msg_0002", "delivered")], now=NOW)
        return places

    monkeypatch.setattr(_search, "_newest", then_settled)
    page = outbox.page(EventFilter(statuses=["leased", "delivered"]))
    assert [row.event_id for row in page.rows] == ["msg_0002", "msg_0001"]
