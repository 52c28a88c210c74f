"""From what is known of a run to the event that reports it."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notifier_samples import ENDED, SITE, STARTED, URL

from ringback_notifier._prediction import TaskInstance
from ringback_notifier._report import Ending, Result, Site, event_of
from ringback_protocol import (
    CallbackRequest,
    CompletionEvent,
    FailedTask,
    ResultOmitted,
    decode_event,
    encode_event,
    event_id,
)

NOW = datetime(2026, 7, 2, 0, 3, 10, tzinfo=timezone.utc)
REQUEST = CallbackRequest(url=URL, correlation_id="req_1")


def ending(**changes: Any) -> Ending:
    members: dict[str, Any] = {
        "dag_id": "sales_report",
        "run_id": "ext__1",
        "state": "success",
        "run_after": STARTED,
        "start_date": STARTED,
        "end_date": ENDED,
    }
    return Ending(**{**members, **changes})


def event(
    request: CallbackRequest = REQUEST, *, reported_by: Any = "task", site: Site = SITE, **changes: Any
) -> CompletionEvent:
    return event_of(ending(**changes), request, site=site, reported_by=reported_by, now=NOW)


def test_the_event_says_what_happened() -> None:
    """Every member is what the design says it is."""
    made = event(reason=None, result=Result(value={"rows": 4213}), logical_date=STARTED)
    assert (made.type, made.subject) == ("airflow.dag_run.succeeded", "sales_report/ext__1")
    assert (made.source, made.audience, made.correlationid) == (SITE.source, URL, "req_1")
    assert (made.time, made.timestamp) == (ENDED, ENDED)
    data = made.data
    assert (data.dag_id, data.run_id, data.state, data.reported_by) == ("sales_report", "ext__1", "success", "task")
    assert (data.logical_date, data.run_after, data.start_date, data.end_date) == (STARTED, STARTED, STARTED, ENDED)
    assert data.duration == pytest.approx(12.404001)
    assert (data.failed_tasks, data.failed_task_count) == ((), 0)
    assert data.result == {"rows": 4213}
    assert data.result_omitted is msgspec.UNSET
    assert data.run_url == "https://airflow.example/prefix/dags/sales_report/runs/ext__1"


def test_the_id_is_the_protocols() -> None:
    """The notifier adds nothing of its own to what identifies an ending."""
    assert event().id == event_id(
        source=SITE.source,
        dag_id="sales_report",
        run_id="ext__1",
        start_date=STARTED,
        state="success",
        callback_url=URL,
    )


def test_task_and_callback_report_the_same_ending_under_the_same_id() -> None:
    """The final task knows no end date, maybe other tasks and another reason; the id does not depend on them."""
    task = event(reported_by="task", state="failed", end_date=None, reason="task_failure")
    callback = event(
        reported_by="callback",
        state="failed",
        reason="timed_out",
        logical_date=STARTED,
        task_instances=(TaskInstance(task_id="a", state="failed"),),
        result=Result(value=7),
        start_date=pendulum.instance(STARTED).in_timezone("Asia/Tokyo"),
    )
    assert task.id == callback.id
    assert (task.data.reported_by, callback.data.reported_by) == ("task", "callback")


@pytest.mark.parametrize(
    "changes",
    [
        {"dag_id": "other"},
        {"run_id": "ext__2"},
        {"state": "failed"},
        {"start_date": STARTED + timedelta(microseconds=1)},
        {"start_date": None},
        {"request": CallbackRequest(url=URL + "/")},
        {"site": Site(source="https://other.example", base_url=SITE.base_url)},
    ],
)
def test_another_ending_has_another_id(changes: dict[str, Any]) -> None:
    """Above all a rerun after clearing, which starts anew."""
    assert event(**changes).id != event().id


def test_where_airflow_is_reached_does_not_change_the_id() -> None:
    """Components that see another base URL still agree, as long as the source is configured."""
    assert event(site=Site(source=SITE.source, base_url="http://internal:8080")).id == event().id


def test_a_run_that_is_not_quite_over_ends_now() -> None:
    """The final task runs before the end, so its event's time is the clock's, and no duration is made up."""
    made = event(end_date=None)
    assert made.time == made.timestamp == NOW
    assert (made.data.end_date, made.data.duration) == (None, None)


def test_a_run_that_never_started_has_no_duration() -> None:
    """A run that was marked before it began is reported all the same."""
    made = event(start_date=None)
    assert (made.data.start_date, made.data.duration) == (None, None)


def test_times_are_utc_and_plain() -> None:
    """Airflow's pendulum times in any zone become what the encoder takes, to the microsecond."""
    local = pendulum.instance(ENDED).in_timezone("America/New_York")
    made = event(end_date=local, start_date=pendulum.instance(STARTED), run_after=local, logical_date=local)
    for moment in (made.time, made.data.start_date, made.data.end_date, made.data.run_after, made.data.logical_date):
        assert type(moment) is datetime
        assert moment.tzinfo is timezone.utc
    assert made.data.end_date == ENDED
    assert decode_event(encode_event(made)).data.end_date == ENDED
    assert b'"end_date":"2026-07-02T00:03:11.204001Z"' in encode_event(made)


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.timezones()))
def test_any_zone_gives_the_same_event(moment: datetime) -> None:
    """Neither the id nor the text depends on the zone in which a time was kept."""
    utc = moment.astimezone(timezone.utc)
    assert encode_event(event(start_date=moment, end_date=None)) == encode_event(event(start_date=utc, end_date=None))


def test_failed_tasks_come_first_those_taken_along_after() -> None:
    """A reader wants the causes first; then names, then map indexes; successes are not listed."""
    instances = (
        TaskInstance(task_id="z", state="upstream_failed"),
        TaskInstance(task_id="m", map_index=10, state="failed"),
        TaskInstance(task_id="m", map_index=2, state="failed"),
        TaskInstance(task_id="ok", state="success"),
        TaskInstance(task_id="b", state="upstream_failed"),
        TaskInstance(task_id="c", state="failed"),
        TaskInstance(task_id="s", state="skipped"),
        TaskInstance(task_id="r", state="removed"),
        TaskInstance(task_id="n", state=None),
    )
    data = event(state="failed", task_instances=instances).data
    assert [(task.task_id, task.map_index, task.state) for task in data.failed_tasks] == [
        ("c", -1, "failed"),
        ("m", 2, "failed"),
        ("m", 10, "failed"),
        ("b", -1, "upstream_failed"),
        ("z", -1, "upstream_failed"),
    ]
    assert data.failed_task_count == 5


def test_at_most_fifty_failed_tasks_are_listed_and_all_are_counted() -> None:
    """The causes make it into the list, whatever was taken along."""
    instances = tuple(TaskInstance(task_id=f"a{n:03}", state="upstream_failed") for n in range(200))
    cause = TaskInstance(task_id="z", state="failed")
    data = event(state="failed", task_instances=(*instances, cause)).data
    assert len(data.failed_tasks) == 50
    assert data.failed_tasks[0].task_id == "z"
    assert data.failed_task_count == 201


def test_addresses_are_quoted() -> None:
    """Ids may hold any character that Airflow allows, and more; the addresses hold none of them bare."""
    made = event(
        dag_id="a b/c",
        run_id="manual__2026-07-02T00:00:00+00:00",
        task_instances=(
            TaskInstance(task_id="group.t\u00e4sk", state="failed"),
            TaskInstance(task_id="m", map_index=3, state="failed"),
        ),
    )
    run = "https://airflow.example/prefix/dags/a%20b%2Fc/runs/manual__2026-07-02T00%3A00%3A00%2B00%3A00"
    assert made.data.run_url == run
    assert made.data.failed_tasks == (
        FailedTask(task_id="group.t\u00e4sk", state="failed", log_url=f"{run}/tasks/group.t%C3%A4sk"),
        FailedTask(task_id="m", map_index=3, state="failed", log_url=f"{run}/tasks/m/mapped/3"),
    )


def test_an_xcom_is_served_by_the_rest_api() -> None:
    """Where a result is too large to travel, a caller learns where to fetch it."""
    assert SITE.xcom_url("d", "r/1", "g.t", "return_value") == (
        "https://airflow.example/prefix/api/v2/dags/d/dagRuns/r%2F1/taskInstances/g.t/xcomEntries/return_value"
    )


def test_a_result_that_could_not_be_had_says_so() -> None:
    """Nobody takes null for the result."""
    made = event(result=Result(unavailable=True, fetch_url="https://airflow.example/x"))
    assert made.data.result is None
    assert made.data.result_omitted == ResultOmitted(reason="unavailable", fetch_url="https://airflow.example/x")
    assert decode_event(encode_event(made)).data.result_omitted == made.data.result_omitted


@pytest.mark.parametrize("value", [None, 0, "", [], {}, False, "x" * 100, {"a": [1, {"b": None}]}])
def test_any_json_value_is_a_result(value: Any) -> None:
    """Falsy ones too."""
    original = copy.deepcopy(value)
    decoded = decode_event(encode_event(event(result=Result(value=value)))).data
    assert decoded.result == value == original
    assert decoded.result_omitted is msgspec.UNSET


def test_a_result_that_is_too_large_says_where_to_fetch_it() -> None:
    """The event goes out without it."""
    made = event(result=Result(value="x" * 30_000, fetch_url="https://airflow.example/x"))
    decoded = decode_event(encode_event(made, fetch_url="https://airflow.example/x")).data
    assert decoded.result is None
    assert decoded.result_omitted == ResultOmitted(
        reason="too_large", size=30_002, fetch_url="https://airflow.example/x"
    )
