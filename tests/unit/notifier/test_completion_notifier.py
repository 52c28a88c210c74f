"""The DAG-run callback, with contexts like Airflow's and a receiver on the loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, AsyncCallback, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization
from notifier_samples import ENDED, PRIVATE, FakeOutbox, dag_run, destination

from ringback_notifier import CompletionNotifier, _context, _delivery, _notifier, notify_completion
from ringback_notifier._budget import SharedBudget
from ringback_notifier._policy import Delivered, Retry
from ringback_notifier.errors import DestinationError, OutboxUnavailable
from ringback_protocol import CompletionEvent, ResultOmitted, decode_event, verify_event


class Receiver:
    """An HTTP server that keeps what it gets."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.requests: list[tuple[str, list[tuple[str, str]], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, self.headers.items(), body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/airflow/completions"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def events(self) -> list[CompletionEvent]:
        return [decode_event(body) for _, _, body in self.requests]

    @property
    def event(self) -> CompletionEvent:
        (event,) = self.events
        return event


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the destination allows; only the connection look-up is replaced."""
    made = Receiver()

    async def aload(name: str) -> Any:
        return destination({"allow": made.origin}, name=name)

    monkeypatch.setattr(_context, "load_destination", lambda name: destination({"allow": made.origin}, name=name))
    monkeypatch.setattr(_context, "aload_destination", aload)
    monkeypatch.setattr(_notifier, "_SHARED", SharedBudget())
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    yield made
    made.close()


class FakeTi:
    """The part of a callback's task instance that the notifier uses."""

    dag_id = "d"
    run_id = "ext__1"
    task_id = "a"
    map_index: int | None = -1

    def __init__(self, dag: DAG, *, state: Any = "success", states: Any = None, xcoms: Any = None) -> None:
        self.task = dag.get_task("a")
        self.state = state
        self.states = {"a": "success"} if states is None else states
        self.xcoms = xcoms or {}

    def get_task_states(self, dag_id: str, *, run_ids: list[str]) -> Any:
        if isinstance(self.states, Exception):
            raise self.states
        return {run_ids[0]: self.states}

    def xcom_pull(self, *, task_ids: str, **_: Any) -> Any:
        value = self.xcoms[task_ids]
        if isinstance(value, Exception):
            raise value
        return value


def make_dag() -> DAG:
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        BaseOperator(task_id="a")
    return dag


def make_context(receiver: Receiver, dag: DAG | None = None, **changes: Any) -> Any:
    dag = dag or make_dag()
    ti_changes = {name: changes.pop(name) for name in ("states", "xcoms") if name in changes}
    ti = FakeTi(dag, **ti_changes)
    reason = changes.pop("reason", "success")
    conf = {"callback": {"url": receiver.url, "correlation_id": "req_1"}}
    run = dag_run(**{"dag_id": "d", "conf": conf, **changes})
    return {"dag": dag, "dag_run": run, "run_id": run.run_id, "reason": reason, "ti": ti, "task_instance": ti}


def call(notifier: CompletionNotifier, context: Any, how: str = "sync") -> None:
    if how == "sync":
        notifier(context)
    else:
        notifier.context = context

        async def wait() -> None:
            await notifier

        asyncio.run(wait())


both = pytest.mark.parametrize("how", ["sync", "async"])


# --- what is reported -----------------------------------------------------------------------------


@both
def test_a_successful_run_is_reported(receiver: Receiver, log: Any, how: str) -> None:
    """The event is signed, says what happened, and takes Airflow's word "success" for no reason."""
    call(CompletionNotifier(result={"rows": 7}), make_context(receiver), how)
    _, headers, body = receiver.requests[0]
    event = verify_event(headers, body, keys=[PRIVATE.public()], audiences=[receiver.url], now=time.time())
    assert (event.data.state, event.data.reason, event.data.reported_by) == ("success", None, "callback")
    assert event.correlationid == "req_1"
    assert event.data.result == {"rows": 7}
    assert event.time == event.data.end_date
    assert log.at("info") == [
        f"ringback: delivered event {event.id} to {receiver.url}: status 204 "
        "(run ext__1 of DAG d, destination default, by the callback)"
    ]
    assert log.fields == [
        {
            "event_id": event.id,
            "dag_id": "d",
            "run_id": "ext__1",
            "destination": "default",
            "outcome": "delivered",
        }
    ]


def test_a_failed_run_is_reported_with_all_its_failed_tasks(receiver: Receiver, log: Any) -> None:
    """The DAG processor is asked for them."""
    states = {"a": "failed", "m_0": "failed", "m_1": "success", "z": "upstream_failed"}
    call(CompletionNotifier(), make_context(receiver, state="failed", reason="task_failure", states=states))
    data = receiver.event.data
    assert (data.state, data.reason, data.failed_task_count) == ("failed", "task_failure", 3)
    assert [(task.task_id, task.map_index) for task in data.failed_tasks] == [("a", -1), ("m", 0), ("z", -1)]


@pytest.mark.parametrize(("how", "states"), [("sync", RuntimeError("no answer")), ("async", None)])
def test_where_airflow_cannot_be_asked_the_contexts_task_is_told(
    receiver: Receiver, log: Any, how: str, states: Any
) -> None:
    """Something is better than nothing."""
    context = make_context(receiver, state="failed", reason="task_failure", states=states)
    context["ti"].state = SimpleNamespace(value="failed")
    context["ti"].map_index = 3
    call(CompletionNotifier(), context, how)
    (task,) = receiver.event.data.failed_tasks
    assert (task.task_id, task.map_index, task.state) == ("a", 3, "failed")


def test_a_state_may_be_an_enumeration(receiver: Receiver) -> None:
    """As Airflow's own data models have it."""
    from airflow.sdk.api.datamodels._generated import DagRunState

    call(CompletionNotifier(), make_context(receiver, state=DagRunState.FAILED, reason="timed_out"))
    assert (receiver.event.data.state, receiver.event.data.reason) == ("failed", "timed_out")


@both
def test_a_context_whose_dag_run_is_a_mapping_works(receiver: Receiver, log: Any, how: str) -> None:
    """As a deadline's context has it, which knows no task instance and no DAG either."""
    full = make_context(receiver)
    run = {**vars(full["dag_run"]), "start_date": "2026-07-02T00:02:58.800000Z"}
    call(CompletionNotifier(result="{{ dag_run.run_id }}"), {"dag_run": run}, how)
    call(CompletionNotifier(), {"dag_run": run}, how)
    assert [event.data.result for event in receiver.events] == ["ext__1", None]
    call(CompletionNotifier(), full, how)
    assert len({event.id for event in receiver.events}) == 1


def test_the_final_task_and_the_callback_agree_on_the_id(receiver: Receiver) -> None:
    """A receiver sees one ending, whoever reports it."""
    context = make_context(receiver)
    call(CompletionNotifier(), context)
    final = notify_completion("another result", dag=context["dag"])
    context["dag_run"].end_date = None
    context["ti"] = SimpleNamespace(
        try_number=1,
        max_tries=4,
        get_task_breadcrumbs=lambda dag_id, run_id: [{"task_id": "a", "map_index": -1, "state": "success"}],
    )
    final.execute(context)
    callback, task = receiver.events
    assert callback.id == task.id
    assert (callback.data.reported_by, task.data.reported_by) == ("callback", "task")


def test_sync_and_async_send_the_same_request(receiver: Receiver) -> None:
    """But for the time and so the signature, a receiver cannot tell them apart."""
    for how in ("sync", "async"):
        call(CompletionNotifier(result={"rows": 7}), make_context(receiver), how)
    (path_1, headers_1, body_1), (path_2, headers_2, body_2) = receiver.requests
    assert path_1 == path_2
    assert body_1 == body_2
    assert _without_time(headers_1) == _without_time(headers_2)


def _without_time(headers: list[tuple[str, str]]) -> dict[str, str]:
    times = ("webhook-timestamp", "webhook-signature")
    assert all(name in [one.lower() for one, _ in headers] for name in times)
    return {name.lower(): value for name, value in headers if name.lower() not in times}


# --- what is not reported -------------------------------------------------------------------------


@both
@pytest.mark.parametrize("conf", [None, {}, {"region": "APAC"}])
def test_a_run_that_asks_for_no_callback_is_left_alone(receiver: Receiver, log: Any, how: str, conf: Any) -> None:
    """Silently, and without fetching a result that nobody wants."""
    call(CompletionNotifier(result="{{ 1 / 0 }}"), make_context(receiver, conf=conf), how)
    assert log.lines == []
    assert receiver.requests == []


@both
def test_a_minimal_context_is_left_to_others(receiver: Receiver, log: Any, how: str) -> None:
    """Without a ``dag_run`` there is no conf, and the log says why nothing was sent."""
    context = {"dag": make_dag(), "run_id": "ext__1", "reason": "all_tasks_deadlocked"}
    call(CompletionNotifier(result="{{ dag_run.conf.x }}"), context, how)
    assert receiver.requests == []
    ((level, message),) = log.lines
    assert level == "warning"
    assert message.startswith("ringback: run ext__1 is not reported by this callback")


@both
@pytest.mark.parametrize("state", ["running", "queued", None])
def test_a_run_that_goes_on_is_not_reported(receiver: Receiver, log: Any, how: str, state: Any) -> None:
    """On a task instead of a DAG, the notifier says where it belongs."""
    call(CompletionNotifier(), make_context(receiver, state=state), how)
    assert receiver.requests == []
    assert log.lines == [
        ("warning", f"ringback: nothing reported: the run is {state}; use this on the DAG, not on a task")
    ]


@both
@pytest.mark.parametrize(("events", "state"), [(["failed"], "success"), (["started", "succeeded"], "failed")])
def test_an_ending_that_is_not_wanted_is_not_sent(
    receiver: Receiver, log: Any, how: str, events: list[str], state: str
) -> None:
    """The filter of conf holds."""
    conf = {"callback": {"url": receiver.url, "events": events}}
    call(CompletionNotifier(), make_context(receiver, state=state, conf=conf), how)
    assert receiver.requests == []
    assert log.lines == []


@pytest.mark.parametrize("arguments", [(), ({}, {}), ("dag", [], [], [])])
def test_called_with_something_else_it_says_so(log: Any, arguments: tuple[Any, ...]) -> None:
    """An SLA callback of old passed four arguments."""
    CompletionNotifier()(*arguments)
    assert log.at("warning") == ["ringback: called with something that is no context; nothing reported"]


# --- what goes wrong is logged and never raised ---------------------------------------------------


@both
@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"callback": {"url": "ftp://x"}}, "conf['callback.url']: must start with https://"),
        ({"callback": 7}, "conf['callback']: must be an object"),
        ({"callback_url": "https://evil.example/?token=hush"}, "destination 'default' does not allow https://evil."),
    ],
)
def test_a_request_that_cannot_be_honoured_is_logged(
    receiver: Receiver, log: Any, how: str, conf: Any, said: str
) -> None:
    """With the key and the mend, and without the URL's query."""
    call(CompletionNotifier(), make_context(receiver, conf=conf), how)
    (message,) = log.at("error")
    assert said in message
    assert "hush" not in log.text
    assert receiver.requests == []


@both
@pytest.mark.parametrize("error", [DestinationError("there is no connection"), RuntimeError("the API server is gone")])
def test_a_look_up_that_fails_is_logged_and_the_event_left_to_the_relay(
    receiver: Receiver, log: Any, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch, how: str, error: Exception
) -> None:
    """In some Airflow versions, a callback that raises takes the others of its batch along."""

    def fail(name: str) -> Any:
        raise error

    async def afail(name: str) -> Any:
        raise error

    monkeypatch.setattr(_context, "load_destination", fail)
    monkeypatch.setattr(_context, "aload_destination", afail)
    call(CompletionNotifier(), make_context(receiver), how)
    (message,) = log.at("error", "exception")
    assert message.startswith("ringback: nothing reported")
    assert outbox.record_made.status == "due"


@both
@pytest.mark.parametrize("option", ["CALLBACK_BUDGET", "ATTEMPT_TIMEOUT"])
def test_an_option_that_is_malformed_is_logged(
    receiver: Receiver, log: Any, monkeypatch: pytest.MonkeyPatch, how: str, option: str
) -> None:
    """Not even a broken airflow.cfg makes a callback raise."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__" + option, "soon")
    call(CompletionNotifier(), make_context(receiver), how)
    assert log.at("error") == [
        f"ringback: nothing reported: [ringback] {option.lower()} is 'soon'; it must be a number"
    ]


@both
@pytest.mark.parametrize(("status", "said"), [(410, "no longer waits"), (500, "status 500")])
def test_a_receiver_that_refuses_is_logged(
    receiver: Receiver, log: Any, monkeypatch: pytest.MonkeyPatch, how: str, status: int, said: str
) -> None:
    """With the event's id and the place, after the budget is used."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_BUDGET", "0.3")
    receiver.status = status
    call(CompletionNotifier(), make_context(receiver), how)
    (message,) = log.at("error")
    assert message.startswith(f"ringback: not delivered, event {receiver.events[0].id} to {receiver.url}: ")
    assert said in message


@both
def test_an_interruption_is_not_swallowed(
    receiver: Receiver, log: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whoever stops the process or cancels the task is obeyed."""

    class Stop(BaseException):
        pass

    def stop(name: str) -> Any:
        raise Stop

    async def astop(name: str) -> Any:
        raise Stop

    monkeypatch.setattr(_context, "load_destination", stop)
    monkeypatch.setattr(_context, "aload_destination", astop)
    with pytest.raises(Stop):
        call(CompletionNotifier(), make_context(receiver), how)


# --- the result -----------------------------------------------------------------------------------


def test_one_instance_serves_every_run(receiver: Receiver) -> None:
    """A DAG's callback is made once, and each run's result is rendered afresh."""
    notifier = CompletionNotifier(result={"run": "{{ run_id }}"})
    for run_id in ("first", "second"):
        call(notifier, make_context(receiver, run_id=run_id))
    assert [event.data.result for event in receiver.events] == [{"run": "first"}, {"run": "second"}]
    assert notifier.result == {"run": "{{ run_id }}"}


def test_a_failed_rendering_leaves_the_instance_whole(receiver: Receiver, log: Any) -> None:
    """The next run is not affected by the last one's trouble."""
    notifier = CompletionNotifier(result="{{ 1 // (run_id | length - 3) }}")
    call(notifier, make_context(receiver, run_id="bad"))
    call(notifier, make_context(receiver, run_id="good"))
    first, second = receiver.events
    assert first.data.result_omitted == ResultOmitted(reason="unavailable")
    assert second.data.result == "1"


@both
@pytest.mark.parametrize("template", ["{{ nonsense.x.y }}", "{% broken", "{{ 1 / 0 }}"])
def test_a_result_that_cannot_be_rendered_does_not_hold_the_event_up(
    receiver: Receiver, log: Any, how: str, template: str
) -> None:
    """The event goes out without it, and the log says why."""
    call(CompletionNotifier(result=template), make_context(receiver), how)
    assert receiver.event.data.result is None
    assert receiver.event.data.result_omitted == ResultOmitted(reason="unavailable")
    assert "the result cannot be rendered" in log.at("warning")[0]


def test_an_xcom_argument_is_resolved_and_knows_where_it_comes_from(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that is too large says where to fetch it."""
    dag = make_dag()
    output = dag.get_task("a").output
    monkeypatch.setattr(type(output), "resolve", lambda self, context: "x" * 30_000)
    call(CompletionNotifier(result=output), make_context(receiver, dag))
    omitted = receiver.event.data.result_omitted
    assert omitted == ResultOmitted(
        reason="too_large",
        size=30_002,
        fetch_url="https://airflow.example/api/v2/dags/d/dagRuns/ext__1/taskInstances/a/xcomEntries/return_value",
    )


@both
def test_the_result_that_the_dag_declares_is_told(receiver: Receiver, how: str) -> None:
    """Without an argument."""
    dag = make_dag()
    dag.add_result(dag.get_task("a").output)
    call(CompletionNotifier(), make_context(receiver, dag, xcoms={"a": (1, 2)}), how)
    assert receiver.event.data.result == [1, 2]


def test_a_declared_result_that_cannot_be_had_does_not_hold_the_event_up(receiver: Receiver, log: Any) -> None:
    """The event goes out and says that there was one."""
    dag = make_dag()
    dag.add_result(dag.get_task("a").output)
    call(CompletionNotifier(), make_context(receiver, dag, xcoms={"a": OSError("down")}))
    assert receiver.event.data.result_omitted == ResultOmitted(reason="unavailable")
    assert "down" in log.at("warning")[0]


class Bare:
    """What ``dag.test()`` passes: a DAG that cannot make template environments."""

    dag_id = "d"
    tasks = ()
    render_template_as_native_obj = False


@pytest.mark.parametrize("kind", ["bare", "serialised"])
def test_a_dag_without_template_environments_is_no_obstacle(receiver: Receiver, kind: str) -> None:
    """``dag.test()`` passes a serialised DAG, and authors use it."""
    context = make_context(receiver)
    context["dag"] = Bare() if kind == "bare" else DagSerialization.from_dict(DagSerialization.to_dict(context["dag"]))
    call(CompletionNotifier(result="{{ run_id }}"), context)
    assert receiver.event.data.result == "ext__1"


@pytest.mark.parametrize("dag", [None, Bare(), object()])
def test_a_template_environment_is_always_to_be_had(dag: Any) -> None:
    """Whatever stands for the DAG."""
    assert CompletionNotifier().get_template_env(dag).from_string("{{ 1 + 1 }}").render() == "2"


def test_a_dags_own_template_environment_is_used() -> None:
    """Its filters and macros work in results."""
    with DAG("d", schedule=None, user_defined_filters={"shout": str.upper}) as dag:
        pass
    assert CompletionNotifier().get_template_env(dag).from_string("{{ 'a' | shout }}").render() == "A"


# --- time -----------------------------------------------------------------------------------------


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Replace the sending; what budget and timeout each callback had."""
    seen: list[tuple[float, float]] = []

    def send_within(delivery: Any, *, budget: float, timeout: float, tried: Any) -> Any:
        seen.append((budget, timeout))
        return Retry(why="x")

    monkeypatch.setattr(_delivery, "send_within", send_within)
    return seen


def test_a_callback_has_its_budget(receiver: Receiver, log: Any, budgets: list[Any]) -> None:
    """Ten seconds for everything, and ten for one attempt, by default."""
    call(CompletionNotifier(), make_context(receiver))
    assert budgets == [(pytest.approx(10.0, abs=1.0), 10.0)]


def test_callbacks_of_a_file_share_what_airflow_allows(
    receiver: Receiver, log: Any, budgets: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What callbacks before it spent is not there any more."""
    _notifier._SHARED.spend(24.0, time.monotonic())
    call(CompletionNotifier(), make_context(receiver))
    ((budget, _),) = budgets
    assert budget == pytest.approx(6.0, abs=0.5)


def test_the_operators_limit_counts(receiver: Receiver, budgets: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Airflow kills callbacks sooner, ours are done sooner."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "5")
    call(CompletionNotifier(), make_context(receiver))
    ((budget, _),) = budgets
    assert budget == pytest.approx(3.0, abs=0.5)


def test_without_any_time_left_nothing_is_sent(receiver: Receiver, log: Any, budgets: list[Any]) -> None:
    """Airflow would kill the whole file's callbacks; the log names the event that went missing."""
    _notifier._SHARED.spend(31.0, time.monotonic())
    call(CompletionNotifier(), make_context(receiver))
    assert budgets == []
    (message,) = log.at("error")
    assert message.startswith("ringback: event msg_")
    assert "the callbacks before it in this file used up the time" in message


def test_what_a_callback_spends_is_counted(receiver: Receiver, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it failed, and its rendering too."""

    def slow(name: str) -> Any:
        time.sleep(0.2)
        raise RuntimeError

    monkeypatch.setattr(_context, "load_destination", slow)
    call(CompletionNotifier(), make_context(receiver))
    assert _notifier._SHARED.left(time.monotonic(), total=30, window=50) == pytest.approx(29.8, abs=0.15)


def test_an_event_loop_has_no_share_in_it(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the triggerer nobody is killed for taking long."""
    _notifier._SHARED.spend(31.0, time.monotonic())
    call(CompletionNotifier(), make_context(receiver), "async")
    assert len(receiver.requests) == 1


def test_an_event_loop_is_not_blocked(receiver: Receiver, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other triggers go on while one callback waits for its receiver."""

    async def asend_within(delivery: Any, *, budget: float, timeout: float, tried: Any) -> Any:
        await asyncio.sleep(0.3)
        return Delivered(status=204)

    monkeypatch.setattr(_delivery, "asend_within", asend_within)

    async def ten() -> float:
        started = time.monotonic()
        await asyncio.gather(*(_awaited(CompletionNotifier(context=make_context(receiver))) for _ in range(10)))
        return time.monotonic() - started

    assert asyncio.run(ten()) < 1.5


async def _awaited(notifier: CompletionNotifier) -> None:
    await notifier


# --- the outbox -----------------------------------------------------------------------------------


@both
def test_a_delivery_is_recorded(receiver: Receiver, outbox: FakeOutbox, how: str) -> None:
    """With the body that was sent, its attempt and the run's end."""
    call(CompletionNotifier(), make_context(receiver), how)
    record = outbox.record_made
    assert (record.status, record.event.body) == ("delivered", receiver.requests[0][2])
    assert (record.event.reported_by, record.event.ended_at) == ("callback", ENDED.timestamp())
    (attempt,) = record.attempts
    assert (attempt.sender, attempt.status, attempt.error) == ("callback", 204, None)
    assert 0 < attempt.duration < 5
    assert outbox.closed == 1


@both
@pytest.mark.parametrize("status", ["delivered", "gone"])
def test_an_event_that_is_settled_is_not_sent_again(
    receiver: Receiver, log: Any, outbox: FakeOutbox, how: str, status: Any
) -> None:
    """The final task was quicker, and the log says so."""
    call(CompletionNotifier(), make_context(receiver), how)
    event_id = outbox.records.pop().event.event_id
    outbox.statuses[event_id] = status
    log.lines.clear()
    call(CompletionNotifier(), make_context(receiver), how)
    assert len(receiver.requests) == 1
    assert log.lines == [("info", f"ringback: event {event_id} is settled already; nothing is sent")]
    assert outbox.records == []


@both
def test_a_failure_leaves_the_event_to_the_relay(
    receiver: Receiver, log: Any, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """With all its attempts, five seconds from now."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_BUDGET", "1.2")
    receiver.status = 500
    call(CompletionNotifier(result={"rows": 7}), make_context(receiver), how)
    record = outbox.record_made
    assert (record.status, record.due_at) == ("due", record.now + 5.0)
    assert decode_event(record.event.body).data.result == {"rows": 7}
    assert [(attempt.sender, attempt.status, attempt.error) for attempt in record.attempts] == [
        ("callback", 500, "status 500")
    ] * len(receiver.requests)
    assert len(receiver.requests) > 1


@both
def test_gone_is_recorded(receiver: Receiver, log: Any, outbox: FakeOutbox, how: str) -> None:
    """No relay needs to hear it again."""
    receiver.status = 410
    call(CompletionNotifier(), make_context(receiver), how)
    assert outbox.record_made.status == "gone"


@both
def test_a_refused_destination_is_recorded(receiver: Receiver, log: Any, outbox: FakeOutbox, how: str) -> None:
    """With the reason."""
    call(CompletionNotifier(), make_context(receiver, conf={"callback_url": "https://evil.example/"}), how)
    record = outbox.record_made
    assert (record.status, record.event.url) == ("refused", "https://evil.example/")
    assert "does not allow" in (record.attempts[0].error or "")


def test_without_any_time_left_the_event_is_left_to_the_relay(
    receiver: Receiver, log: Any, outbox: FakeOutbox, budgets: list[Any]
) -> None:
    """Nothing is lost that was known."""
    _notifier._SHARED.spend(31.0, time.monotonic())
    call(CompletionNotifier(), make_context(receiver))
    assert (outbox.record_made.status, outbox.record_made.attempts) == ("due", [])


@both
def test_a_minimal_context_leaves_a_hint(receiver: Receiver, log: Any, outbox: FakeOutbox, how: str) -> None:
    """The relay can ask Airflow for the conf."""
    call(CompletionNotifier(), {"dag": make_dag(), "run_id": "ext__1", "reason": "timed_out"}, how)
    (hint,) = outbox.hints
    assert (hint.dag_id, hint.run_id, hint.event_id, hint.state, hint.seen_by) == (
        "d",
        "ext__1",
        None,
        None,
        "callback",
    )
    assert hint.due_at == pytest.approx(time.time(), abs=5)
    assert log.at("warning")[0].endswith("it is noted in the outbox for the relay")


@both
@pytest.mark.parametrize("change", [{"dag": None}, {"run_id": None}, {}])
def test_a_minimal_context_that_cannot_be_noted_says_who_will_find_the_run(
    receiver: Receiver, log: Any, outbox: FakeOutbox, how: str, change: Any
) -> None:
    """Nothing raises, and nobody is promised what will not happen."""
    outbox.fails_with = OutboxUnavailable("database is locked")
    call(CompletionNotifier(), {"dag": make_dag(), "run_id": "ext__1", "reason": "timed_out", **change}, how)
    assert log.at("warning")[-1].endswith("the relay's sweep will find it")
    assert outbox.hints == []


@both
def test_without_an_outbox_the_event_is_sent_all_the_same(
    receiver: Receiver, log: Any, outbox: FakeOutbox, how: str
) -> None:
    """One line of the log says that nothing was recorded."""
    outbox.fails_with = OutboxUnavailable("database is locked")
    call(CompletionNotifier(), make_context(receiver), how)
    assert len(receiver.requests) == 1
    assert log.at("warning") == ["ringback: the outbox is of no use: database is locked; all else goes on without it"]


def test_waiting_for_the_outbox_is_paid_from_the_budget(
    receiver: Receiver, log: Any, outbox: FakeOutbox, budgets: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a callback does together stays within what Airflow allows."""
    monkeypatch.setattr(outbox, "status_of", lambda event_id: time.sleep(0.7))
    call(CompletionNotifier(), make_context(receiver))
    ((budget, _),) = budgets
    assert 8.5 < budget < 9.35


def test_an_event_loop_goes_on_while_an_outbox_is_slow(
    receiver: Receiver, log: Any, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other triggers do not wait for a lock."""
    asyncio.run(_awaited(CompletionNotifier(context=make_context(receiver))))  # loads what is loaded once
    monkeypatch.setattr(outbox, "status_of", lambda event_id: time.sleep(1.0))

    async def longest_gap() -> float:
        callback = asyncio.create_task(_awaited(CompletionNotifier(context=make_context(receiver))))
        gap, before = 0.0, time.monotonic()
        while not callback.done():
            await asyncio.sleep(0.01)
            gap, before = max(gap, time.monotonic() - before), time.monotonic()
        return gap

    assert asyncio.run(longest_gap()) < 0.7
    assert len(receiver.requests) == 2


# --- how Airflow takes it -------------------------------------------------------------------------


def test_it_is_a_dags_callback() -> None:
    """One line on the DAG."""
    notifier = CompletionNotifier()
    dag = DAG("d", schedule=None, on_success_callback=notifier, on_failure_callback=[notifier])
    assert dag.has_on_success_callback
    assert dag.has_on_failure_callback


def test_it_is_a_deadlines_callback() -> None:
    """Airflow refers to it by its name, which must lead back to it."""
    from importlib import import_module

    callback = AsyncCallback(CompletionNotifier, kwargs={"result": {"rows": 7}})
    module, _, name = callback.path.rpartition(".")
    assert getattr(import_module(module), name) is CompletionNotifier
    json.dumps(callback.kwargs)


def test_it_does_not_change_the_context(receiver: Receiver) -> None:
    """Other callbacks of the DAG get what Airflow made."""
    context = make_context(receiver)
    before = dict(context)
    call(CompletionNotifier(result="{{ run_id }}"), context)
    assert context == before
