"""What is written down after an attempt, and what it says of the host."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from ringback_notifier import _metrics
from ringback_notifier._exchange import no_answer
from ringback_notifier._policy import Answer, NoAnswer, Outcome, decide
from ringback_notifier._resolver import ResolverBusy
from ringback_notifier.errors import AddressRefused, DestinationError, DestinationMissing
from ringback_notifier.outbox._rows import Leased, Settlement
from ringback_notifier.relay._attempting import Attempting, health_of, settlement_of
from ringback_notifier.relay._schedule import after_attempt


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ROW = Leased(
    event_id="msg_1",
    dag_id="sales",
    run_id="ext__1",
    destination="default",
    url="https://portal.example/cb?token=hush",
    host="portal.example:443",
    body=b"{}",
    attempts=0,
    created_at=0.0,
)


def settled(outcome: Outcome, attempts: int = 0) -> Settlement:
    then = after_attempt(attempts=attempts + 1, decision=decide(outcome), now=100.0, jitter=0.5)
    return settlement_of(replace(ROW, attempts=attempts), outcome, then, at=99.0, now=100.0)


@pytest.mark.parametrize(
    ("outcome", "status", "due_at"),
    [
        (Answer(status=204), "delivered", 100.0),
        (Answer(status=200), "delivered", 100.0),
        (Answer(status=410), "gone", 100.0),
        (Answer(status=302), "due", 105.0),
        (Answer(status=401), "due", 105.0),
        (Answer(status=500), "due", 105.0),
        (Answer(status=429, retry_after=60.0), "due", 160.0),
        (NoAnswer(error="connect: refused"), "due", 105.0),
    ],
)
def test_an_outcome_becomes_a_settlement(outcome: Outcome, status: str, due_at: float) -> None:
    """The receiver's answer decides what becomes of the event, and when."""
    settlement = settled(outcome)
    assert (settlement.status, settlement.due_at) == (status, due_at)


def test_the_attempt_is_kept_with_what_was_answered() -> None:
    """Status, reason, excerpt and duration can be looked up later."""
    attempt = settled(Answer(status=401, excerpt="bad signature")).attempt
    assert attempt is not None
    assert (attempt.sender, attempt.at, attempt.duration, attempt.status) == ("relay", 99.0, 1.0, 401)
    assert (attempt.error, attempt.excerpt) == ("status 401: bad signature", "bad signature")


def test_a_delivery_has_no_error() -> None:
    """What went well is not explained."""
    attempt = settled(Answer(status=202)).attempt
    assert attempt is not None
    assert attempt.error is None


def test_what_to_write_down_is_worked_out_without_a_word(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an attempt that was made is logged and counted."""
    counted: list[Any] = []
    monkeypatch.setattr(_metrics, "count", lambda *given, **tags: counted.append(given))
    with caplog.at_level(logging.DEBUG):
        assert settled(Answer(status=500), attempts=9).status == "dead"
    assert (caplog.messages, counted) == ([], [])


@pytest.mark.anyio
async def test_the_tenth_failure_is_dead_and_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The log names event, run, DAG and the address without its query."""
    attempting = Attempting(destinations=LookUps(None), sender=None)  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        landing = await attempting.attempt(replace(ROW, attempts=9))
    assert landing.settlement is not None
    assert landing.settlement.status == "dead"
    (record,) = caplog.records
    for part in ("msg_1", "sales", "ext__1", "https://portal.example/cb?…", "there is none"):
        assert part in record.getMessage()
    assert "hush" not in record.getMessage()


@pytest.mark.parametrize(
    ("outcome", "health"),
    [
        (Answer(status=204), "up"),
        (Answer(status=404), "up"),
        (Answer(status=429), "up"),
        (Answer(status=500), "down"),
        (Answer(status=503), "down"),
        (NoAnswer(error="timeout: x"), "down"),
    ],
)
def test_a_host_is_up_if_it_answers_sensibly(outcome: Outcome, health: str) -> None:
    """A host that refuses an event is alive; one that is silent or broken is not."""
    assert health_of(outcome) == health


def test_what_failed_on_our_side_says_nothing_of_the_host() -> None:
    """One tenant's forbidden address does not keep another's events from the same host."""
    assert health_of(no_answer(AddressRefused("nothing was sent to portal.example"))) == "unknown"
    assert health_of(no_answer(ResolverBusy("too many names"))) == "unknown"
    assert health_of(no_answer(OSError("no route to host"))) == "down"
    assert health_of(no_answer(TimeoutError())) == "down"


class LookUps:
    """Destinations as a secrets backend gives them that fails now and then."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure

    async def get(self, name: str) -> Any:
        raise self.failure or DestinationError("there is none")


@pytest.mark.anyio
async def test_a_look_up_that_fails_without_end_is_logged_once_for_each_destination(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many events wait for it, and however often they are looked at; and so is its recovery."""
    look_ups = LookUps(PermissionError("access denied"))
    attempting = Attempting(destinations=look_ups, sender=None)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            for name in ("default", "portal"):
                landing = await attempting.attempt(replace(ROW, destination=name))
                assert landing.settlement is None
    assert len(caplog.records) == 2
    for record, name in zip(caplog.records, ("default", "portal"), strict=True):
        assert repr(name) in record.getMessage()
        assert "PermissionError: access denied" in record.getMessage()
    caplog.clear()
    look_ups.failure = None  # that it is missing is an answer
    for _ in range(3):
        await attempting.attempt(replace(ROW, destination="portal"))
    assert sum("works again" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "tag"),
    [
        (DestinationMissing("there is no Airflow connection ringback_portal"), "unknown"),
        (DestinationError("connection ringback_portal: password: no key"), "portal"),
    ],
)
async def test_only_a_destination_that_there_is_not_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tag: str
) -> None:
    """One whose connection is malformed is what an operator looks for by its name."""
    counted: list[str] = []
    monkeypatch.setattr(_metrics, "count", lambda name, **tags: counted.append(tags["destination"]))
    attempting = Attempting(destinations=LookUps(error), sender=None)  # type: ignore[arg-type]
    await attempting.attempt(replace(ROW, destination="portal"))
    assert counted == [tag]


@pytest.mark.anyio
async def test_which_events_wait_for_a_look_up_can_be_seen_in_detail(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for it reads the id of each."""
    attempting = Attempting(destinations=LookUps(TimeoutError()), sender=None)  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        await attempting.attempt(ROW)
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    assert "TimeoutError" in caplog.records[0].getMessage()
    assert "msg_1" in caplog.records[1].getMessage()


@pytest.mark.anyio
async def test_names_that_callers_made_up_are_not_remembered_for_ever() -> None:
    """Anybody who may trigger a run may name a destination."""
    attempting = Attempting(destinations=LookUps(PermissionError()), sender=None)  # type: ignore[arg-type]
    for number in range(2_500):
        await attempting.attempt(replace(ROW, destination=f"d{number}"))
    assert len(attempting._outages) <= 1_000
