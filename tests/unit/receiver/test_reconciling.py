"""What becomes of an overdue request."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from ringback_protocol import decode_event, event_id
from ringback_receiver._dag_run import DagRun
from ringback_receiver._matching import PendingRequest, Transition, match
from ringback_receiver._reconciling import (
    CHECK_AFTER,
    Abandon,
    Resolve,
    check_again,
    check_schedule,
    first_check,
    judge,
)
from ringback_receiver._store import Checked
from ringback_receiver.errors import ConfigurationError

URL = "https://portal.example/airflow/completions"
SOURCE = "https://airflow.example"
NOW = 1_800_000_000.0
STARTED = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)
REQUEST = PendingRequest(request_id="req_1", dag_id="sales", run_id="run_1", callback_url=URL, created_at=NOW - 60)
RUN = DagRun(
    dag_id="sales",
    run_id="run_1",
    state="running",
    start_date=STARTED,
    end_date=STARTED + timedelta(seconds=12),
    run_url="https://airflow.example/dags/sales/runs/run_1",
)


def verdict(run: DagRun | None, **changes: Any) -> Any:
    request = msgspec.structs.replace(REQUEST, **changes)
    return judge(request, run, source=SOURCE, now=NOW, schedule=CHECK_AFTER)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_ending_becomes_the_event_that_the_callback_would_have_been(state: str) -> None:
    """The id is the same, so whichever comes second is a duplicate; what a list does not tell is said to be unknown."""
    found = verdict(msgspec.structs.replace(RUN, state=state))
    assert isinstance(found, Resolve)
    event = found.event
    assert event.id == event_id(
        source=SOURCE, dag_id="sales", run_id="run_1", start_date=STARTED, state=state, callback_url=URL
    )
    assert (event.source, event.audience, event.correlationid) == (SOURCE, URL, "req_1")
    assert (event.data.state, event.data.reported_by, event.data.duration) == (state, "reconciler", 12.0)
    assert (event.data.failed_task_count, event.time) == (None, RUN.end_date)
    assert match(REQUEST, event, seen=False) is Transition.RESOLVE
    assert decode_event(found.body) == event


def test_run_that_never_started_can_end() -> None:
    """A backfill that is cancelled, for one."""
    found = verdict(msgspec.structs.replace(RUN, state="failed", start_date=None))
    assert (found.event.data.start_date, found.event.data.duration) == (None, None)


def test_ids_that_no_event_can_hold_are_an_error() -> None:
    """The shell asks again later, and the others go on."""
    with pytest.raises(ValueError, match="bytes"):
        verdict(msgspec.structs.replace(RUN, state="failed", run_id="x" * 20_000))


@pytest.mark.parametrize("state", ["queued", "running", "restarting"])
def test_run_that_goes_on_is_asked_about_again(state: str) -> None:
    """Whatever a newer Airflow calls it."""
    assert verdict(msgspec.structs.replace(RUN, state=state)) == Checked(
        request_id="req_1", next_check=NOW + 300.0, exists=True
    )


def test_run_that_vanished_is_deleted() -> None:
    """Airflow had confirmed it; the id is that of no other ending, and the same for whoever finds out."""
    found = verdict(None, confirmed=True)
    data = found.event.data
    assert (data.state, data.reason, data.reported_by) == ("failed", "deleted", "reconciler")
    assert found.event.id == verdict(None, confirmed=True, checks=7).event.id
    assert found.event.id != verdict(msgspec.structs.replace(RUN, state="failed", start_date=None)).event.id
    assert match(REQUEST, found.event, seen=False) is Transition.RESOLVE


def test_run_that_never_was_is_abandoned_at_the_second_look() -> None:
    """At the first, its trigger may still be under way."""
    assert verdict(None) == Checked(request_id="req_1", next_check=NOW + 300.0, exists=False)
    assert isinstance(verdict(None, checks=1), Abandon)


@pytest.mark.parametrize(("checks", "pause"), [(0, 300.0), (1, 900.0), (2, 3_600.0), (3, 3_600.0), (99, 3_600.0)])
def test_pauses_grow_to_an_hour(checks: int, pause: float) -> None:
    """The last one repeats."""
    request = msgspec.structs.replace(REQUEST, checks=checks)
    assert check_again(request, NOW, CHECK_AFTER, exists=True).next_check == NOW + pause


@pytest.mark.parametrize(
    ("schedule", "expected", "after"),
    [
        (CHECK_AFTER, None, 60.0),
        (CHECK_AFTER, 7_200.0, 7_200.0),
        (CHECK_AFTER, timedelta(minutes=2), 120.0),
        ((), 5.0, None),
    ],
)
def test_first_check_comes_when_the_run_should_have_ended(
    schedule: tuple[float, ...], expected: Any, after: float | None
) -> None:
    """Or after a minute; never, if nothing is reconciled."""
    assert first_check(NOW, schedule, expected) == (None if after is None else NOW + after)


@pytest.mark.parametrize("intervals", [(0.0,), (60.0, -1.0), (float("inf"),), ("soon",)])
def test_impossible_schedule_is_refused(intervals: Any) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match="reconcile"):
        check_schedule(intervals)
