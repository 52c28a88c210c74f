"""What the listener takes from a run, on Airflow's own thread."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow._shared.listeners.listener import ListenerManager
from airflow.listeners.spec import dagrun
from notifier_samples import STARTED, URL, dag_run

from ringback_notifier import _listener
from ringback_notifier._hints import Seen, Seldom
from ringback_notifier.plugin import RingbackPlugin


class Queue:
    """Keeps what is put into it."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.fails_with: Exception | None = None

    def put(self, seen: Seen) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.seen.append(seen)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    made = Queue()
    monkeypatch.setattr(_listener, "hint_writer", lambda: made)
    monkeypatch.setattr(_listener, "_trouble", Seldom(seconds=60.0))
    return made


@pytest.fixture
def hook(queue: Queue) -> Iterator[Any]:
    """Airflow's own way of calling listeners."""
    manager = ListenerManager()
    manager.add_hookspecs(dagrun)
    manager.add_listener(_listener)
    yield manager.hook
    manager.clear()


CALLS = ["on_dag_run_running", "on_dag_run_success", "on_dag_run_failed"]


@pytest.mark.parametrize(("name", "state"), list(zip(CALLS, ["running", "success", "failed"], strict=True)))
def test_a_run_that_asks_for_a_callback_is_noted(hook: Any, queue: Queue, name: str, state: str) -> None:
    """With what the event's id is made of, and of its conf only what is ours."""
    run = dag_run(conf={"callback": {"url": URL}, "rows": list(range(1000))}, state="whatever")
    getattr(hook, name)(dag_run=run, msg="success")
    (seen,) = queue.seen
    assert (seen.dag_id, seen.run_id, seen.start_date, seen.state) == ("sales_report", "ext__1", STARTED, state)
    assert seen.conf == {"callback": {"url": URL}}


def test_the_short_form_is_noted(hook: Any, queue: Queue) -> None:
    """As people with curl write it."""
    hook.on_dag_run_success(dag_run=dag_run(conf={"callback_url": URL}), msg="success")
    assert queue.seen[0].conf == {"callback_url": URL}


@pytest.mark.parametrize("conf", [None, {}, {"region": "APAC"}, [], ["callback"], "callback", 7])
@pytest.mark.parametrize("name", CALLS)
def test_a_run_that_asks_for_no_callback_is_none_of_ours(
    hook: Any, queue: Queue, caplog: pytest.LogCaptureFixture, name: str, conf: Any
) -> None:
    """Silently."""
    getattr(hook, name)(dag_run=dag_run(conf=conf), msg="success")
    assert queue.seen == []
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "message", "flags", "waits"),
    [
        ("on_dag_run_success", "success", ["success"], True),
        ("on_dag_run_success", "success", ["failure"], False),
        ("on_dag_run_failed", "task_failure", ["failure"], True),
        ("on_dag_run_failed", "timed_out", ["success", "failure"], True),
        ("on_dag_run_failed", "all_tasks_deadlocked", ["success"], False),
        ("on_dag_run_running", "started", ["success", "failure"], False),
        ("on_dag_run_success", "Dag Run's state was manually set to `success`.", ["success"], False),
        ("on_dag_run_failed", "", ["failure"], False),
    ],
)
def test_the_dags_own_callback_goes_first_where_there_will_be_one(
    hook: Any, queue: Queue, name: str, message: str, flags: list[str], waits: bool
) -> None:
    """The scheduler calls it for this outcome; a mark through the API calls none."""
    dag = SimpleNamespace(**{f"has_on_{flag}_callback": True for flag in flags})
    getattr(hook, name)(dag_run=dag_run(dag=dag), msg=message)
    assert queue.seen[0].has_callback is waits


@pytest.mark.parametrize("change", [{}, {"dag": None}, {"dag": object()}])
def test_a_run_without_a_known_dag_waits_for_nobody(hook: Any, queue: Queue, change: Any) -> None:
    """What is not known is not asked for."""
    hook.on_dag_run_success(dag_run=dag_run(**change), msg="success")
    assert queue.seen[0].has_callback is False


class Expired:
    """A run whose attributes would have to be loaded from the database."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was loaded")


class Slotted:
    __slots__ = ()


@pytest.mark.parametrize("make", [Expired, Slotted, lambda: None])
def test_what_is_not_loaded_is_not_loaded(hook: Any, queue: Queue, caplog: pytest.LogCaptureFixture, make: Any) -> None:
    """The scheduler's main thread is no place for a look-up; the sweep finds the run."""
    hook.on_dag_run_success(dag_run=make(), msg="success")
    assert queue.seen == []
    assert "the relay's sweep finds it" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_nothing_is_raised_and_trouble_is_logged_once_a_minute(
    hook: Any, queue: Queue, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """With the traceback for those who debug."""
    caplog.set_level(logging.DEBUG, logger=_listener.__name__)
    queue.fails_with = error
    for _ in range(3):
        hook.on_dag_run_failed(dag_run=dag_run(), msg="task_failure")
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "DEBUG"] == [True] * 3


def test_seldom_is_once_in_so_many_seconds() -> None:
    """The first time at once."""
    seldom = Seldom(seconds=60.0)
    assert [seldom.again(now) for now in (0.0, 1.0, 59.9, 60.0, 61.0, 500.0)] == [True, False, False, True, False, True]


def test_a_run_of_airflows_own_model_is_read_without_loading(queue: Queue) -> None:
    """The names are those of the ORM class, and an expired instance is left alone."""
    from airflow.models.dagrun import DagRun

    started = datetime(2026, 7, 2, tzinfo=timezone.utc)
    run = DagRun(dag_id="d", run_id="r", start_date=started, conf={"callback_url": URL}, run_type="manual")
    _listener.on_dag_run_success(run, "success")
    (seen,) = queue.seen
    assert (seen.dag_id, seen.run_id, seen.start_date) == ("d", "r", started)


# --- the plugin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "listeners"), [(None, [_listener]), ("True", [_listener]), ("False", [])])
def test_the_plugin_registers_the_listener_unless_it_is_off(
    monkeypatch: pytest.MonkeyPatch, option: str | None, listeners: list[Any]
) -> None:
    """Airflow's plugin manager calls on_load before it asks for listeners."""
    monkeypatch.setattr(RingbackPlugin, "listeners", [])
    monkeypatch.setattr(RingbackPlugin, "fastapi_apps", [])
    monkeypatch.setattr(RingbackPlugin, "external_views", [])
    if option is not None:
        monkeypatch.setenv("AIRFLOW__RINGBACK__LISTENER", option)
    RingbackPlugin.validate()
    RingbackPlugin().on_load()
    assert RingbackPlugin.listeners == listeners


@pytest.mark.parametrize(
    ("option", "published"), [(None, ["default"]), ("portal, default", ["portal", "default"]), ("", []), (" ", [])]
)
def test_the_plugin_publishes_the_keys_that_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, option: str | None, published: list[str]
) -> None:
    """Those of the default destination, if nothing is said; told to publish none, the endpoint is not there at all."""
    monkeypatch.setattr(RingbackPlugin, "listeners", [])
    monkeypatch.setattr(RingbackPlugin, "fastapi_apps", [])
    monkeypatch.setattr(RingbackPlugin, "external_views", [])
    monkeypatch.setenv("AIRFLOW__RINGBACK__LISTENER", "False")
    if option is not None:
        monkeypatch.setenv("AIRFLOW__RINGBACK__PUBLISH_KEYS", option)
    RingbackPlugin().on_load()
    keys = [app for app in RingbackPlugin.fastapi_apps if app["url_prefix"] == "/ringback"]
    assert [app["app"]._names for app in keys] == ([set(published)] if published else [])
    if published:  # requests go to the first application whose prefix fits
        assert RingbackPlugin.fastapi_apps[-1] is keys[0]


@pytest.mark.parametrize(
    ("version", "shown"),
    [("3.0.6", False), ("3.1.0", False), ("3.1.1", True), ("3.3.2", True), ("4.0.0rc1", True), ("dev", False)],
)
def test_the_plugin_shows_its_page_where_airflow_can(
    monkeypatch: pytest.MonkeyPatch, version: str, shown: bool
) -> None:
    """Elsewhere it loads without, and does what else it is there for."""
    monkeypatch.setattr("airflow.__version__", version)
    for name in ("listeners", "fastapi_apps", "external_views"):
        monkeypatch.setattr(RingbackPlugin, name, [])
    monkeypatch.setenv("AIRFLOW__RINGBACK__LISTENER", "False")
    RingbackPlugin().on_load()
    prefixes = [app["url_prefix"] for app in RingbackPlugin.fastapi_apps]
    assert prefixes == (["/ringback/callbacks", "/ringback"] if shown else ["/ringback"])
    views = {view["destination"]: view["href"] for view in RingbackPlugin.external_views}
    expected = {"nav": "ringback/callbacks/", "dag_run": "ringback/callbacks/?dag_id={DAG_ID}&run_id={RUN_ID}"}
    assert views == (expected if shown else {})
