"""From a run as the API shows it to what is done about it."""

from __future__ import annotations

from typing import Any

import pytest
from notifier_samples import ENDED, SITE, STARTED, URL

from ringback_notifier.relay._judging import Nothing, NotYet, Refuse, Report, Seen, judge_ending, judge_start
from ringback_notifier.relay._run import Run
from ringback_protocol import decode_event, event_id

ASKED: dict[str, Any] = {"callback": {"url": URL, "correlation_id": "req_1", "destination": "portal"}}


def run(**changes: Any) -> Run:
    members: dict[str, Any] = {
        "dag_id": "sales_report",
        "run_id": "ext__1",
        "state": "success",
        "conf": ASKED,
        "start_date": STARTED,
        "end_date": ENDED,
    }
    return Run(**{**members, **changes})


def true_id(state: str = "success", url: str = URL) -> str:
    return event_id(
        source=SITE.source, dag_id="sales_report", run_id="ext__1", start_date=STARTED, state=state, callback_url=url
    )


def judged(candidate: Run) -> Any:
    return judge_ending(candidate, site=SITE, reported_by="relay", now=ENDED)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_an_ending_becomes_its_event(state: str) -> None:
    """The event has the id that every other path would give it, and what the row needs for delivering it."""
    judgement = judged(run(state=state))
    assert isinstance(judgement, Report)
    event = judgement.event
    assert event.event_id == true_id(state)
    assert (event.dag_id, event.run_id, event.state) == ("sales_report", "ext__1", state)
    assert (event.destination, event.url, event.ended_at) == ("portal", URL, ENDED.timestamp())
    assert event.reported_by == "relay"


def test_the_event_says_what_the_relay_cannot_know() -> None:
    """Without task instances the number of failed ones is null, and the result is unavailable."""
    event = decode_event(judged(run(state="failed")).event.body)
    assert event.data.failed_task_count is None
    assert event.data.result_omitted.reason == "unavailable"  # type: ignore[union-attr]
    assert event.data.duration == pytest.approx(12.404001)
    assert event.data.run_url == "https://airflow.example/prefix/dags/sales_report/runs/ext__1"
    assert event.correlationid == "req_1"


@pytest.mark.parametrize("state", ["queued", "running", "restarting"])
def test_a_run_that_has_not_ended_is_waited_for(state: str) -> None:
    """Whatever is not success or failed is no ending."""
    assert judged(run(state=state)) == NotYet()


@pytest.mark.parametrize("conf", [None, {}, {"region": "APAC"}, [1], "callback"])
def test_a_run_that_asks_for_nothing_is_left_alone(conf: Any) -> None:
    """Conf without a callback is none of our business."""
    assert judged(run(conf=conf)) == Nothing()


def test_an_ending_that_nobody_asked_for_is_left_alone() -> None:
    """Who wants failures only does not hear of a success."""
    assert judged(run(conf={"callback": {"url": URL, "events": ["failed"]}})) == Nothing()


def test_a_malformed_request_is_refused_naming_the_key() -> None:
    """The refusal has an id of its own, always the same, neither URL nor body, and the reason."""
    malformed = run(conf={"callback": {"url": URL, "retries": 3}})
    judgement = judged(malformed)
    assert isinstance(judgement, Refuse)
    assert "callback.retries" in judgement.why
    assert (judgement.event.url, judgement.event.body) == ("", b"")
    assert judgement.event.event_id == judged(malformed).event.event_id == true_id(url="")
    assert judgement.event.event_id != true_id()


def test_a_run_whose_event_cannot_be_encoded_is_refused() -> None:
    """Absurdly long ids end one run's report, not the sweep."""
    assert isinstance(judged(run(run_id="r" * 30_000)), Refuse)


def test_a_run_that_never_started_has_an_event_too() -> None:
    """A queued run that was marked failed has no dates, and still rings."""
    judgement = judged(run(state="failed", start_date=None, end_date=None))
    assert isinstance(judgement, Report)
    assert judgement.event.ended_at is None
    assert decode_event(judgement.event.body).time == ENDED


STARTS = {"callback": {"url": URL, "events": ["started", "succeeded"]}}


@pytest.mark.parametrize("state", ["running", "success", "failed", "queued"])
def test_a_start_is_reported_whatever_the_run_does_now(state: str) -> None:
    """The run may have ended before its start was confirmed; it started all the same."""
    judgement = judge_start(
        run(conf=STARTS, state=state), expected=true_id("running"), site=SITE, reported_by="listener", now=ENDED
    )
    assert isinstance(judgement, Report)
    event = decode_event(judgement.event.body)
    assert event.type == "airflow.dag_run.started"
    assert event.time == STARTED
    assert event.data.end_date is None
    assert judgement.event.ended_at is None


@pytest.mark.parametrize("expected", [None, "msg_other"])
def test_a_start_that_is_another_by_now_is_dropped(expected: str | None) -> None:
    """A run that was cleared has a new start_date, and so is not the start that was seen."""
    judgement = judge_start(run(conf=STARTS), expected=expected, site=SITE, reported_by="listener", now=ENDED)
    assert judgement == Nothing()


def test_a_start_that_nobody_asked_for_is_left_alone() -> None:
    """By default only endings are reported."""
    judgement = judge_start(run(), expected=true_id("running"), site=SITE, reported_by="listener", now=ENDED)
    assert judgement == Nothing()


def test_a_start_that_airflow_does_not_show_yet_is_waited_for() -> None:
    """The listener speaks before the commit: until then the run is queued and has no start date."""
    judgement = judge_start(
        run(conf=STARTS, state="queued", start_date=None, end_date=None),
        expected=true_id("running"),
        site=SITE,
        reported_by="listener",
        now=ENDED,
    )
    assert judgement == NotYet()


def test_a_queued_run_that_ended_without_a_start_has_none() -> None:
    """It was marked before it ran; what was seen was taken back."""
    judgement = judge_start(
        run(conf=STARTS, state="failed", start_date=None),
        expected=true_id("running"),
        site=SITE,
        reported_by="listener",
        now=ENDED,
    )
    assert judgement == Nothing()


@pytest.mark.parametrize(("age", "waits"), [(0.0, True), (4.9, True), (-3.0, True), (5.1, False), (-600.0, False)])
def test_another_ending_than_the_one_seen_is_waited_for_a_while(age: float, waits: bool) -> None:
    """A finished run that is marked otherwise shows its old ending until the commit; after that it is the truth."""
    judgement = judge_ending(
        run(state="success"), site=SITE, reported_by="listener", now=ENDED, seen=Seen(state="failed", age=age)
    )
    assert isinstance(judgement, NotYet if waits else Report)


@pytest.mark.parametrize("state", ["success", None])
def test_the_ending_that_was_seen_is_reported_at_once(state: Any) -> None:
    """Also where whoever saw it could not tell which it was."""
    judgement = judge_ending(
        run(state="success"), site=SITE, reported_by="listener", now=ENDED, seen=Seen(state=state, age=0.0)
    )
    assert isinstance(judgement, Report)


def test_a_mark_that_is_wanted_is_waited_for_though_the_old_ending_is_not() -> None:
    """Who asked for failures only would otherwise not hear of it from the hint."""
    only = run(state="success", conf={"callback": {"url": URL, "events": ["failed"]}})
    judgement = judge_ending(only, site=SITE, reported_by="listener", now=ENDED, seen=Seen(state="failed", age=0.0))
    assert judgement == NotYet()
