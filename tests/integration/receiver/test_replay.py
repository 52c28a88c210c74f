"""The same event again, an event for somebody else, an event for another run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, FakeAirflow, make_event, signed, until

from ringback_notifier.relay._schedule import WHOLE_SCHEDULE
from ringback_protocol import DEFAULT_TOLERANCE, PrivateKey
from ringback_receiver import Completion, CompletionTimeout, Receiver

pytestmark = pytest.mark.anyio

NOW = 1_782_950_591.0
TOLERANCE = DEFAULT_TOLERANCE.total_seconds()


class Clock:
    """Unix seconds that a test moves."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ringback.db"


@pytest.fixture
def receiver(path: Path, key: PrivateKey, clock: Clock) -> Receiver:
    return Receiver(URL, str(key.public()), FakeAirflow(), f"sqlite:///{path}", clock=clock)


def events(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT run_id, transition FROM events ORDER BY received_at").fetchall()


async def resolve_another(receiver: Receiver, key: PrivateKey, clock: Clock, handled: list[Completion]) -> None:
    """Have another run handled: what was due before it has had its turn, too."""
    run = await receiver.trigger("sales")
    await receiver.handle(*signed(make_event(run.request_id, run.run_id), key, now=clock.now))
    await until(lambda: handled[-1].run_id == run.run_id)


async def test_repetition_has_no_second_effect_for_as_long_as_a_sender_retries(
    receiver: Receiver, path: Path, key: PrivateKey, clock: Clock
) -> None:
    """Signed afresh as a retry is, to the last attempt of the schedule and a tolerance later, store opened anew."""
    handled: list[Completion] = []
    receiver.on_completion("sales", name="keep")(handled.append)
    async with receiver:
        run = await receiver.trigger("sales")
        event = make_event(run.request_id, run.run_id)
        assert (await receiver.handle(*signed(event, key, now=clock.now))).outcome == "resolved"
        await until(lambda: len(handled) == 1)
    for age in (0.0, 60.0, WHOLE_SCHEDULE, WHOLE_SCHEDULE + TOLERANCE, 100 * WHOLE_SCHEDULE):
        clock.now = NOW + age
        async with receiver:
            answer = await receiver.handle(*signed(event, key, now=clock.now))
            assert (answer.status, answer.outcome) == (204, "duplicate")
            await resolve_another(receiver, key, clock, handled)
    assert [done.event_id for done in handled].count(event.id) == 1
    assert events(path).count((run.run_id, "resolved")) == 1


async def test_bytes_that_were_overheard_are_good_for_the_tolerance_only(
    receiver: Receiver, key: PrivateKey, clock: Clock
) -> None:
    """Within it they are a duplicate, after it they are nothing."""
    async with receiver:
        overheard = signed(make_event("req_1", "run_1"), key, now=NOW)
        assert (await receiver.handle(*overheard)).status == 202
        clock.now = NOW + TOLERANCE
        assert (await receiver.handle(*overheard)).status == 204
        clock.now = NOW + TOLERANCE + 1
        assert (await receiver.handle(*overheard)).outcome == "timestamp_too_old"
        clock.now = NOW - TOLERANCE - 1
        assert (await receiver.handle(*overheard)).outcome == "timestamp_too_new"


@pytest.mark.parametrize(
    ("url", "foreign_key", "status"),
    [
        ("https://portal.example/airflow/other-tenant", False, 403),
        (URL + "/", False, 403),
        (URL + "?tenant=2", False, 403),
        ("https://PORTAL.example/airflow/completions", False, 403),
        (URL, True, 401),
    ],
)
async def test_event_for_somebody_else_is_refused(
    receiver: Receiver, path: Path, key: PrivateKey, clock: Clock, url: str, foreign_key: bool, status: int
) -> None:
    """Another tenant's, be it signed by the key that both trust or by his own; another URL's, by one byte."""
    async with receiver:
        run = await receiver.trigger("sales")
        event = make_event(run.request_id, run.run_id, url=url)
        answer = await receiver.handle(*signed(event, PrivateKey.generate() if foreign_key else key, now=clock.now))
        assert answer.status == status
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=0)
    assert events(path) == []


@pytest.mark.parametrize(
    ("dag_id", "run_id"), [("other", None), ("sales", "other"), ("Sales", None)], ids=["DAG", "run", "case"]
)
async def test_event_for_another_run_is_a_conflict(
    receiver: Receiver, path: Path, key: PrivateKey, clock: Clock, dag_id: str, run_id: str | None
) -> None:
    """It names our request, is kept for whoever looks into it, and resolves nothing."""
    async with receiver:
        run = await receiver.trigger("sales")
        event = make_event(run.request_id, run_id or run.run_id, dag_id=dag_id)
        answer = await receiver.handle(*signed(event, key, now=clock.now))
        assert (answer.status, answer.outcome) == (204, "conflict")
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=0)
    assert events(path) == [(run_id or run.run_id, "conflict")]
