"""How both databases find what is due among much that is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from outbox_samples import NOW, lease, make_event, make_hint
from sqlalchemy import Connection, event, text

from ringback_notifier.outbox import EventFilter, Outbox

DELIVERED = 100_000
FEWER = 40_000

FILL = """
INSERT INTO ringback_event (event_id, dag_id, run_id, state, destination, url, host, body, status, reported_by,
  created_at, schedule_from, due_at, attempts, looks, settled_at)
SELECT 'old_' || n, 'dag_' || (n % 50), 'run_' || n, 'success', 'default', 'https://portal.example/',
  'portal.example:443', NULL, 'delivered', 'relay', :now - n, :now - n, :now - n, 1, 0, :now - n FROM numbers
"""
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) ",
    "postgresql": "WITH numbers AS (SELECT n FROM generate_series(1, :count) AS n) ",
}


@pytest.fixture
def full(url: str, opening: Callable[..., Outbox]) -> Outbox:
    """An outbox with a hundred thousand delivered events, and a few due ones."""
    return filled(opening(url, wait=60), DELIVERED)


@pytest.fixture
def half_full(url: str, opening: Callable[..., Outbox]) -> Outbox:
    """One with fewer."""
    return filled(opening(url, wait=60), FEWER)


def filled(outbox: Outbox, delivered: int) -> Outbox:
    with outbox._database.writing() as connection:
        dialect = connection.dialect.name
        fill = (NUMBERS[dialect] + FILL) if dialect == "postgresql" else FILL
        if dialect == "sqlite":
            head, _, tail = fill.partition("SELECT")
            fill = head + NUMBERS[dialect] + "SELECT" + tail
        connection.execute(text(fill), {"now": NOW, "count": delivered})
    outbox.enqueue([make_event(number) for number in range(300)], now=NOW)
    outbox.add_hints([make_hint(number) for number in range(1000, 1100)], now=NOW)
    return outbox


def plans(outbox: Outbox, operation: Any) -> str:
    """Run an operation and return how the database goes about its statements."""
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    engine = outbox._database._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        operation()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with outbox._database.reading() as connection:
        return "\n".join(
            explained(connection, statement, parameters)
            for statement, parameters in said
            if "ringback_event" in statement and not isinstance(parameters, list)
        )


def explained(connection: Connection, statement: str, parameters: Any) -> str:
    prefix = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, parameters))


def test_what_is_over_costs_nothing(full: Outbox) -> None:
    """Every statement of the relay's loops uses the index made for it and reads no table from end to end.

    The planner's statistics make no difference: not without them, nor with those of a table full of delivered events.
    """
    operations = {
        "ringback_event_waiting": [
            lambda: full.release("relay-1", event_ids=None, due_at=NOW),
            lambda: lease(full, limit=200),
            lambda: lease(full, limit=200, not_hosts=["other:443"]),
            lambda: full.expire("portal.example:443", before=NOW - 999, now=NOW),
            lambda: full.next_due(now=NOW),
        ],
        "ringback_event_hinted": [
            lambda: full.take_hints(now=NOW, limit=50, again_at=NOW),
            lambda: full.next_due(now=NOW, not_hosts=["other:443"]),
        ],
        "ringback_event_settled": [lambda: full.purge(before=NOW - DELIVERED - 9)],
    }
    for analyzed in (False, True):
        if analyzed:
            with full._database.writing() as connection:
                connection.execute(text("ANALYZE ringback_event"))
        for index, uses in operations.items():
            for use in uses:
                plan = plans(full, use)
                assert index in plan, (analyzed, plan)
                assert "Seq Scan on ringback_event" not in plan, (analyzed, plan)
                assert "SCAN ringback_event\n" not in plan + "\n", (analyzed, plan)


ASKED = {
    "ringback_event_by_age": [EventFilter(), EventFilter(run_id_contains="x"), EventFilter(since=NOW - 60)],
    "ringback_event_by_dag": [
        EventFilter(dag_id="dag_1"),
        EventFilter(dag_id="none"),
        EventFilter(dag_id="dag_1", run_id_contains="x", since=NOW - 500),
        EventFilter(dag_ids=["dag_1"]),
        EventFilter(dag_ids=["dag_1", "dag_2", "none"]),
    ],
    "ringback_event_by_run": [EventFilter(run_id="run_1"), EventFilter(run_id="none")],
    "ringback_event_by_destination": [EventFilter(destination="default"), EventFilter(destination="none")],
    "ringback_event_by_end": [EventFilter(statuses=["dead"]), EventFilter(statuses=["delivered", "dead"])],
    "ringback_event_by_stage": [EventFilter(statuses=["hint"]), EventFilter(statuses=["due", "leased"])],
}


def test_people_read_along_an_index(half_full: Outbox) -> None:
    """Every page goes along the index made for what is asked, whatever the planner believes; nothing reads a table."""
    for analyzed in (False, True):
        if analyzed:
            with half_full._database.writing() as connection:
                connection.execute(text("ANALYZE ringback_event"))
        for index, questions in ASKED.items():
            for asked in questions:
                # Few rows to look at, for in so small a table reading all of it may be the better plan.
                pages = plans(half_full, lambda asked=asked: half_full.page(asked, looks=500))
                assert index in pages, (analyzed, asked)
                for plan in (pages, plans(half_full, lambda asked=asked: half_full.count(asked, looks=500))):
                    assert "Seq Scan on ringback_event" not in plan, (analyzed, asked, plan)
                    assert not [line for line in plan.splitlines() if line.strip() == "SCAN ringback_event"], plan
