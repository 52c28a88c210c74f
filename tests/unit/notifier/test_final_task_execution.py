"""What the final task does when it runs, with a context like a worker's and nothing sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from notifier_samples import PRIVATE, URL, FakeOutbox, dag_run, destination

from ringback_notifier import NotifyCompletionOperator, _context, _delivery, notify_completion
from ringback_notifier._delivery import Delivery
from ringback_notifier._policy import Answer, NoAnswer, Outcome
from ringback_notifier.errors import DeliveryError, DestinationError, OutboxUnavailable
from ringback_protocol import CompletionEvent, ResultOmitted, decode_event

OWN = "ringback_notify"


class FakeTi:
    """The part of a worker's runtime task instance that the final task uses."""

    run_id = "ext__1"

    def __init__(
        self, states: dict[str, str] | None = None, *, try_number: int = 1, max_tries: int = 4, xcoms: Any = None
    ) -> None:
        self.states = states or {}
        self.try_number = try_number
        self.max_tries = max_tries
        self.xcoms = xcoms or {}

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        assert (dag_id, run_id) == ("d", "ext__1")
        crumbs = []
        for key, state in self.states.items():
            task_id, _, index = key.partition("[")
            crumbs.append({"task_id": task_id, "map_index": int(index[:-1]) if index else -1, "state": state})
        return crumbs

    def xcom_pull(self, *, task_ids: str, **_: Any) -> Any:
        value = self.xcoms[task_ids]
        if isinstance(value, Exception):
            raise value
        return value


@dataclass
class Receiver:
    """Gives the answers it is told to, and remembers what it got."""

    outcome: Outcome = field(default_factory=lambda: Answer(status=204))
    deliveries: list[Delivery] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    @property
    def event(self) -> CompletionEvent:
        (delivery,) = self.deliveries
        return decode_event(delivery.body)

    def send(self, delivery: Delivery, *, timeout: float) -> Outcome:
        self.deliveries.append(delivery)
        self.timeouts.append(timeout)
        return self.outcome


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """Replace the sending and the connection look-up."""
    made = Receiver()
    monkeypatch.setattr(_delivery, "send", made.send)
    monkeypatch.setattr(_context, "load_destination", lambda name: destination(name=name))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    return made


def make(result: Any = None, *, build: Callable[[], Any] | None = None, **arguments: Any) -> tuple[DAG, Any]:
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        if build is None:
            BaseOperator(task_id="a")
        else:
            build()
        final = notify_completion(result, **arguments)
    return dag, final


def run(final: NotifyCompletionOperator, ti: FakeTi, **changes: Any) -> Any:
    """Render and execute as the task runner does."""
    context: Any = {
        "dag": final.dag,
        "dag_run": dag_run(**{"dag_id": "d", "end_date": None, "state": "running", **changes}),
        "run_id": "ext__1",
        "ti": ti,
        "task_instance": ti,
        "task": final,
    }
    final.render_template_fields(context)
    return final.execute(context)


# --- what is reported -----------------------------------------------------------------------------


def test_a_successful_run_is_reported(receiver: Receiver) -> None:
    """The event says what the run will be, and the XCom what became of the event."""
    _, final = make({"rows": "{{ ti.xcom_pull(task_ids='a') }}"})
    outcome = run(final, FakeTi({"a": "success", OWN: "running"}, xcoms={"a": 4213}))
    event = receiver.event
    assert outcome == {"outcome": "delivered", "event_id": event.id, "status": 204, "attempts": 1}
    assert (event.audience, event.correlationid, event.data.state, event.data.reported_by) == (
        URL,
        "req_1",
        "success",
        "task",
    )
    assert event.data.reason is None
    assert event.data.result == {"rows": "4213"}
    assert event.data.end_date is None
    assert receiver.timeouts == [10.0]


def test_a_failed_run_is_reported_with_its_failed_tasks(receiver: Receiver) -> None:
    """Those of mapped tasks with their index, our own task never."""
    _, final = make()
    run(final, FakeTi({"a[0]": "success", "a[1]": "failed", OWN: "failed"}))
    data = receiver.event.data
    assert (data.state, data.reason, data.failed_task_count) == ("failed", "task_failure", 1)
    assert [(task.task_id, task.map_index, task.state) for task in data.failed_tasks] == [("a", 1, "failed")]


def test_202_is_delivered_too(receiver: Receiver) -> None:
    """A receiver that parks the event has it."""
    receiver.outcome = Answer(status=202)
    _, final = make()
    assert run(final, FakeTi({"a": "success"}))["status"] == 202


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "attempts"), [(1, 4, 4, 1), (3, 4, 4, 3), (6, 9, 4, 1), (2, 1, 1, 2)]
)
def test_attempts_are_counted_since_the_task_was_cleared(
    receiver: Receiver, try_number: int, max_tries: int, retries: int, attempts: int
) -> None:
    """Clearing raises the number of tries that are allowed."""
    _, final = make(retries=retries)
    ti = FakeTi({"a": "success"}, try_number=try_number, max_tries=max_tries)
    assert run(final, ti)["attempts"] == attempts


def test_each_attempt_reports_under_the_same_id(receiver: Receiver) -> None:
    """A retry is a new execution, and the receiver must recognise the event."""
    for try_number in (1, 2):
        _, final = make()
        run(final, FakeTi({"a": "success"}, try_number=try_number))
    first, second = receiver.deliveries
    assert first.event_id == second.event_id


# --- what nobody asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("conf", [None, {}, {"region": "APAC"}, [], "text"])
def test_a_run_that_asks_for_no_callback_is_left_alone(receiver: Receiver, conf: Any) -> None:
    """Nothing is looked up and nothing is sent."""
    _, final = make()
    assert run(final, FakeTi(), conf=conf) == {"outcome": "not_requested"}
    assert receiver.deliveries == []


@pytest.mark.parametrize(("events", "state"), [(["failed"], "success"), (["succeeded", "started"], "failed")])
def test_an_ending_that_is_not_wanted_is_not_sent(receiver: Receiver, events: list[str], state: str) -> None:
    """The filter of conf holds, and the XCom says so."""
    _, final = make()
    outcome = run(final, FakeTi({"a": state}), conf={"callback": {"url": URL, "events": events}})
    assert outcome == {"outcome": "not_wanted", "state": state}
    assert receiver.deliveries == []


# --- what fails at once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        ({"callback": {}}, "callback.url"),
        ({"callback": "https://portal.example/"}, "callback"),
        ({"callback": {"url": "ftp://portal.example/"}}, "callback.url"),
        ({"callback": {"url": URL, "secret": "x"}}, "callback.secret"),
        ({"callback": {"url": URL, "destination": "../etc"}}, "callback.destination"),
        ({"callback_url": 7}, "callback_url"),
    ],
)
def test_a_malformed_request_fails_at_once_and_names_the_key(receiver: Receiver, conf: Any, key: str) -> None:
    """A retry would not mend the conf."""
    _, final = make()
    with pytest.raises(AirflowFailException, match=rf"^ringback: conf\['{key}'\]: "):
        run(final, FakeTi({"a": "success"}), conf=conf)
    assert receiver.deliveries == []


def test_a_url_that_is_not_allowed_fails_at_once(receiver: Receiver) -> None:
    """Nothing is sent, and the message says how to allow it, without the query."""
    _, final = make()
    with pytest.raises(
        AirflowFailException, match=r"^ringback: nothing was sent: destination 'default' does not"
    ) as caught:
        run(final, FakeTi({"a": "success"}), conf={"callback_url": "https://evil.example/?token=hush"})
    assert "hush" not in str(caught.value)
    assert receiver.deliveries == []


def test_a_destination_that_is_malformed_fails_at_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the destination's own."""

    def broken(name: str) -> Any:
        raise DestinationError(f"there is no Airflow connection ringback_{name}")

    monkeypatch.setattr(_context, "load_destination", broken)
    _, final = make()
    with pytest.raises(AirflowFailException, match=r"^ringback: there is no Airflow connection ringback_portal"):
        run(final, FakeTi({"a": "success"}), conf={"callback": {"url": URL, "destination": "portal"}})


def test_gone_fails_at_once(receiver: Receiver) -> None:
    """The receiver said that no attempt will help."""
    receiver.outcome = Answer(status=410)
    _, final = make()
    with pytest.raises(AirflowFailException, match="status 410"):
        run(final, FakeTi({"a": "success"}))


@pytest.mark.parametrize("late", [["late"], ["z_late", "b_late"]])
def test_tasks_defined_after_the_call_fail_it_at_once(receiver: Receiver, late: list[str]) -> None:
    """Their states are not known yet, so nothing true can be said; the message names them."""
    dag, final = make()
    for task_id in late:
        BaseOperator(task_id=task_id, dag=dag)
    names = ", ".join(sorted(late))
    with pytest.raises(AirflowFailException, match=f"not upstream of {OWN}: {names}; call notify_completion"):
        run(final, FakeTi({"a": "success"}))
    assert receiver.deliveries == []


def test_tasks_defined_later_and_linked_before_are_no_strays(receiver: Receiver) -> None:
    """Only what the final task does not wait for is a problem."""
    dag, final = make()
    dag.get_task("a") << BaseOperator(task_id="early", dag=dag)
    assert run(final, FakeTi({"a": "success", "early": "success"}))["outcome"] == "delivered"


# --- what is retried ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "retry_after", "said"),
    [
        (Answer(status=500), None, "status 500"),
        (Answer(status=401, excerpt="bad signature"), None, "status 401: bad signature"),
        (Answer(status=302), None, "redirects are never followed"),
        (Answer(status=503, retry_after=42.0), 42.0, "status 503"),
        (Answer(status=429, retry_after=1e9), 21_600.0, "status 429"),
        (NoAnswer(error="timeout: x"), None, "timeout: x"),
    ],
)
def test_a_failed_delivery_is_retried_by_airflow(
    receiver: Receiver, outcome: Outcome, retry_after: float | None, said: str
) -> None:
    """The error carries the receiver's wish for the retry policy, and says what happened."""
    receiver.outcome = outcome
    _, final = make()
    with pytest.raises(DeliveryError, match=said) as caught:
        run(final, FakeTi({"a": "success"}))
    assert caught.value.retry_after == retry_after
    assert receiver.deliveries[0].event_id in str(caught.value)


def test_the_last_try_fails_for_good(receiver: Receiver) -> None:
    """There is no retry left to wait for."""
    receiver.outcome = Answer(status=503, retry_after=42.0)
    _, final = make()
    with pytest.raises(AirflowFailException, match="status 503"):
        run(final, FakeTi({"a": "success"}, try_number=5, max_tries=4))


def test_a_message_never_shows_the_query(receiver: Receiver, log: Any) -> None:
    """A callback URL may hold a token."""
    url = URL + "?token=hush"
    _, final = make()
    run(final, FakeTi({"a": "success"}), conf={"callback_url": url})
    receiver.outcome = Answer(status=500)
    with pytest.raises(DeliveryError) as caught:
        run(final, FakeTi({"a": "success"}), conf={"callback_url": url})
    assert "delivered event msg_" in log.text
    assert "hush" not in log.text + str(caught.value)
    assert PRIVATE.reveal()[5:] not in log.text + str(caught.value)


# --- the outbox -----------------------------------------------------------------------------------


def test_a_delivery_is_recorded(receiver: Receiver, outbox: FakeOutbox) -> None:
    """With the body that was sent and the attempt, so that nobody reports the ending again."""
    _, final = make()
    run(final, FakeTi({"a": "success"}))
    (delivery,) = receiver.deliveries
    record, event = outbox.record_made, outbox.record_made.event
    assert (record.status, event.event_id, event.url, event.body) == (
        "delivered",
        delivery.event_id,
        URL,
        delivery.body,
    )
    assert (event.dag_id, event.run_id, event.state, event.destination) == ("d", "ext__1", "success", "default")
    assert (event.reported_by, event.ended_at) == ("task", None)
    (attempt,) = record.attempts
    assert (attempt.sender, attempt.status, attempt.error) == ("task", 204, None)
    assert attempt.at == pytest.approx(record.now, abs=5)
    assert outbox.closed == 1


@pytest.mark.parametrize("status", ["delivered", "gone"])
def test_an_event_that_is_settled_is_not_sent_again(
    receiver: Receiver, log: Any, outbox: FakeOutbox, status: Any
) -> None:
    """The XCom says so, and the task succeeds."""
    _, final = make()
    run(final, FakeTi({"a": "success"}))
    event_id = outbox.records.pop().event.event_id
    outbox.statuses[event_id] = status
    assert run(final, FakeTi({"a": "success"})) == {"outcome": "already_delivered", "event_id": event_id}
    assert len(receiver.deliveries) == 1
    assert outbox.records == []


@pytest.mark.parametrize("status", ["hint", "due", "leased", "dead", "refused"])
def test_an_event_that_is_not_settled_is_sent(receiver: Receiver, outbox: FakeOutbox, status: Any) -> None:
    """The task is the fast path, whatever others intend to do."""
    _, final = make()
    run(final, FakeTi({"a": "success"}))
    outbox.statuses[outbox.records[0].event.event_id] = status
    assert run(final, FakeTi({"a": "success"}))["outcome"] == "delivered"


def test_a_failure_that_airflow_retries_is_left_to_airflow(receiver: Receiver, outbox: FakeOutbox) -> None:
    """One sender at a time."""
    receiver.outcome = Answer(status=500)
    _, final = make()
    with pytest.raises(DeliveryError):
        run(final, FakeTi({"a": "success"}))
    assert outbox.records == []


@pytest.mark.parametrize(
    ("outcome", "wait", "error"),
    [
        (Answer(status=503, retry_after=42.0, excerpt="busy"), 42.0, "status 503: busy"),
        (Answer(status=500), 5.0, "status 500"),
        (NoAnswer(error="timeout: x"), 5.0, "timeout: x"),
    ],
)
def test_the_last_failure_leaves_the_event_to_the_relay(
    receiver: Receiver, outbox: FakeOutbox, outcome: Outcome, wait: float, error: str
) -> None:
    """With the body that knows result and failed tasks, not before the receiver wants it."""
    receiver.outcome = outcome
    _, final = make({"rows": 7})
    with pytest.raises(AirflowFailException):
        run(final, FakeTi({"a": "success"}, try_number=5, max_tries=4))
    record = outbox.record_made
    assert (record.status, record.due_at) == ("due", record.now + wait)
    assert decode_event(record.event.body).data.result == {"rows": 7}
    assert [attempt.error for attempt in record.attempts] == [error]


def test_gone_is_recorded(receiver: Receiver, outbox: FakeOutbox) -> None:
    """No relay needs to hear it again."""
    receiver.outcome = Answer(status=410)
    _, final = make()
    with pytest.raises(AirflowFailException):
        run(final, FakeTi({"a": "success"}))
    assert outbox.record_made.status == "gone"


def test_a_refused_destination_is_recorded(receiver: Receiver, outbox: FakeOutbox) -> None:
    """With the reason, and the body for the day when the URL is allowed."""
    _, final = make()
    with pytest.raises(AirflowFailException):
        run(final, FakeTi({"a": "success"}), conf={"callback_url": "https://evil.example/?token=hush"})
    record = outbox.record_made
    assert (record.status, record.event.url) == ("refused", "https://evil.example/?token=hush")
    assert decode_event(record.event.body).data.state == "success"
    (attempt,) = record.attempts
    assert attempt.status is None
    assert "does not allow https://evil.example/" in (attempt.error or "")
    assert "hush" not in (attempt.error or "")


@pytest.mark.parametrize(
    ("error", "try_number", "raised", "recorded"),
    [
        (DestinationError("there is no Airflow connection"), 1, AirflowFailException, ["due"]),
        (RuntimeError("the secrets backend denies access"), 4, RuntimeError, []),
        (RuntimeError("the secrets backend denies access"), 5, AirflowFailException, ["due"]),
    ],
)
def test_a_look_up_that_fails_leaves_the_event_to_the_relay_once_airflow_tries_no_more(
    receiver: Receiver,
    outbox: FakeOutbox,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    try_number: int,
    raised: type[Exception],
    recorded: list[str],
) -> None:
    """With the body that knows the result, for the relay may find the destination later."""

    def fail(name: str) -> Any:
        raise error

    monkeypatch.setattr(_context, "load_destination", fail)
    _, final = make({"rows": 7})
    with pytest.raises(raised):
        run(final, FakeTi({"a": "success"}, try_number=try_number, max_tries=4))
    assert [record.status for record in outbox.records] == recorded
    assert all(decode_event(record.event.body).data.result == {"rows": 7} for record in outbox.records)


@pytest.mark.parametrize("conf", [{}, {"callback": 7}, {"callback": {"url": URL, "events": ["failed"]}}])
def test_what_is_not_to_be_reported_does_not_touch_the_outbox(
    receiver: Receiver, outbox: FakeOutbox, conf: Any
) -> None:
    """Neither a run that asks for nothing nor one that asks in a way that cannot be honoured."""
    outbox.fails_with = AssertionError("nobody should ask")
    _, final = make()
    with contextlib.suppress(AirflowFailException):
        run(final, FakeTi({"a": "success"}), conf=conf)
    assert outbox.records == []
    assert outbox.closed == 0


@pytest.mark.parametrize(
    "error", [OutboxUnavailable("database is locked"), ModuleNotFoundError("no SQLAlchemy"), RuntimeError("hush")]
)
def test_without_an_outbox_the_event_is_sent_all_the_same(
    receiver: Receiver, log: Any, outbox: FakeOutbox, error: Exception
) -> None:
    """One line of the log says that nothing was recorded."""
    outbox.fails_with = error
    _, final = make()
    assert run(final, FakeTi({"a": "success"}))["outcome"] == "delivered"
    (line,) = [line for line in log.at("warning") if line.startswith("ringback: ")]
    assert line.startswith("ringback: the outbox is of no use: ")
    assert "hush" not in line


# --- a DAG of nothing but teardowns ---------------------------------------------------------------


def only_teardowns() -> None:
    BaseOperator(task_id="t").as_teardown()


@pytest.mark.parametrize(
    ("outcome", "conf"),
    [
        (Answer(status=410), {"callback_url": URL}),
        (Answer(status=500), {"callback_url": URL}),
        (Answer(status=204), {"callback_url": "https://evil.example/"}),
        (Answer(status=204), {"callback_url": 7}),
    ],
)
@pytest.mark.parametrize("build", [only_teardowns, lambda: None], ids=["teardowns", "empty"])
def test_where_our_task_decides_the_run_it_does_not_fail(
    receiver: Receiver, log: Any, outcome: Outcome, conf: Any, build: Any
) -> None:
    """Airflow would fail a run in which nothing else counts, so the error is logged instead."""
    receiver.outcome = outcome
    _, final = make(build=build)
    ti = FakeTi({"t": "success"}, try_number=5, max_tries=4)
    assert run(final, ti, conf=conf) == {"outcome": "not_delivered"}
    assert "not raised: Airflow would fail the run" in log.text


def test_where_our_task_decides_the_run_it_is_still_retried(receiver: Receiver) -> None:
    """Waiting does not fail the run."""
    receiver.outcome = Answer(status=500)
    _, final = make(build=only_teardowns)
    with pytest.raises(DeliveryError):
        run(final, FakeTi({"t": "success"}, try_number=4, max_tries=4))


@pytest.mark.parametrize(("try_number", "raises"), [(1, True), (5, False)])
def test_where_our_task_decides_the_run_not_even_a_surprise_fails_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, try_number: int, raises: bool
) -> None:
    """An error that nobody foresaw is retried like any other, and in the end logged."""

    def surprise(name: str) -> Any:
        raise RuntimeError("the API server is gone")

    monkeypatch.setattr(_context, "load_destination", surprise)
    _, final = make(build=only_teardowns)
    ti = FakeTi({"t": "success"}, try_number=try_number, max_tries=4)
    if raises:
        with pytest.raises(RuntimeError):
            run(final, ti)
    else:
        assert run(final, ti) == {"outcome": "not_delivered"}


def test_elsewhere_a_surprise_is_an_ordinary_failure(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow shows it as what it is; the run does not care."""

    def surprise(name: str) -> Any:
        raise RuntimeError("the API server is gone")

    monkeypatch.setattr(_context, "load_destination", surprise)
    _, final = make()
    with pytest.raises(RuntimeError):
        run(final, FakeTi({"a": "success"}, try_number=4, max_tries=4))
    with pytest.raises(AirflowFailException, match="RuntimeError: the API server is gone"):
        run(final, FakeTi({"a": "success"}, try_number=5, max_tries=4))


@pytest.mark.parametrize(("minutes_left", "raised"), [(10, DeliveryError), (0.2, AirflowFailException)])
def test_it_does_not_run_into_the_dags_timeout(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, minutes_left: float, raised: type[Exception]
) -> None:
    """A run that is open when its timeout passes is failed by Airflow; no retry is worth that."""
    receiver.outcome = NoAnswer(error="connect: refused")
    dag, final = make()
    dag.dagrun_timeout = timedelta(hours=1)
    started = datetime.now(timezone.utc) - timedelta(hours=1) + timedelta(minutes=minutes_left)
    with pytest.raises(raised):
        run(final, FakeTi({"a": "success"}), start_date=started)


def test_a_failed_teardown_among_teardowns_is_a_successful_run(receiver: Receiver) -> None:
    """Because then our own task, which succeeds, is the one that counts."""
    _, final = make(build=only_teardowns)
    run(final, FakeTi({"t": "failed"}))
    data = receiver.event.data
    assert (data.state, data.reason) == ("success", None)
    assert [task.task_id for task in data.failed_tasks] == ["t"]


# --- the result -----------------------------------------------------------------------------------


def declared() -> None:
    task = BaseOperator(task_id="report")
    task.dag.add_result(task.output)


def test_the_result_that_the_dag_declares_is_told(receiver: Receiver) -> None:
    """Without an argument."""
    _, final = make(build=declared)
    run(final, FakeTi({"report": "success"}, xcoms={"report": {"rows": 7}}))
    assert receiver.event.data.result == {"rows": 7}


def test_a_given_result_goes_before_the_declared_one(receiver: Receiver) -> None:
    """The author of the call knows best."""
    _, final = make("mine", build=declared)
    run(final, FakeTi({"report": "success"}))
    assert receiver.event.data.result == "mine"


def test_a_declared_result_that_cannot_be_had_does_not_hold_the_event_up(receiver: Receiver, log: Any) -> None:
    """The event goes out and says that there was one."""
    _, final = make(build=declared)
    run(final, FakeTi({"report": "success"}, xcoms={"report": OSError("the XCom back end is down")}))
    assert receiver.event.data.result is None
    assert receiver.event.data.result_omitted == ResultOmitted(reason="unavailable")
    assert "the XCom back end is down" in log.text


@pytest.mark.parametrize("template", ["{{ nonsense.x.y }}", "{{ 1 / 0 }}", "{% broken"])
def test_a_result_that_cannot_be_rendered_does_not_hold_the_event_up(
    receiver: Receiver, log: Any, template: str
) -> None:
    """The event goes out without it, and the log says why."""
    _, final = make(template)
    run(final, FakeTi({"a": "success"}))
    assert receiver.event.data.result is None
    assert receiver.event.data.result_omitted == ResultOmitted(reason="unavailable")
    assert "the result cannot be rendered" in log.text


def test_a_result_that_is_too_large_says_where_to_fetch_it(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An XComArg knows the address of its value in the REST API."""
    dag, final = make()
    final.result = dag.get_task("a").output
    monkeypatch.setattr(type(dag.get_task("a").output), "resolve", lambda self, context: "x" * 30_000)
    run(final, FakeTi({"a": "success"}))
    omitted = receiver.event.data.result_omitted
    assert omitted == ResultOmitted(
        reason="too_large",
        size=30_002,
        fetch_url="https://airflow.example/api/v2/dags/d/dagRuns/ext__1/taskInstances/a/xcomEntries/return_value",
    )


def test_a_result_of_none_that_was_rendered_is_none(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An XCom that holds nothing is not mistaken for no argument, and no declared result takes its place."""
    dag, final = make(build=declared)
    output = dag.get_task("report").output
    final.result = output
    monkeypatch.setattr(type(output), "resolve", lambda self, context: None)
    run(final, FakeTi({"report": "success"}, xcoms={"report": "never pulled"}))
    assert receiver.event.data.result is None


def test_a_result_that_is_not_json_is_left_out(receiver: Receiver) -> None:
    """The event goes out without it."""
    _, final = make()
    final.result = {"x": {1, 2j}}
    run(final, FakeTi({"a": "success"}))
    assert receiver.event.data.result_omitted == ResultOmitted(reason="not_json")


def test_a_mapped_instance_of_ours_is_no_failed_task(receiver: Receiver) -> None:
    """Our own earlier tries are not part of the run's story."""
    _, final = make()
    run(final, FakeTi({"a": "success", OWN: "failed"}))
    assert receiver.event.data.failed_tasks == ()


def test_execute_works_on_simple_stand_ins() -> None:
    """The operator asks nothing else of a context than these tests give it."""
    _, final = make()
    context: Any = {"dag": final.dag, "dag_run": SimpleNamespace(conf=None), "ti": None}
    assert final.execute(context) == {"outcome": "not_requested"}
