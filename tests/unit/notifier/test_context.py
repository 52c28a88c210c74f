"""Reading Airflow's objects."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict, namedtuple
from collections.abc import Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, BaseOperator, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from notifier_samples import ENDED, PRIVATE, SITE, STARTED, dag_run

from ringback_notifier._context import (
    aload_destination,
    declared_result,
    ending_of,
    load_destination,
    materialised,
    member,
    task_shapes,
    xcom_source,
)
from ringback_notifier._prediction import TaskInstance, TaskShape
from ringback_notifier._report import Result
from ringback_notifier.errors import DestinationError, DestinationMissing


class Lazy(Sequence[Any]):
    """What Airflow gives for the XComs of a mapped task: a sequence that fetches."""

    def __init__(self, *items: Any) -> None:
        self._items = items
        self.fetched = 0

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        self.fetched += 1
        return self._items[index]


def test_a_member_is_read_from_an_object_and_from_a_mapping() -> None:
    """A worker's context holds an object, a deadline's a mapping."""
    assert member(SimpleNamespace(run_id="r"), "run_id") == "r"
    assert member({"run_id": "r"}, "run_id") == "r"
    assert member(SimpleNamespace(), "run_id") is None
    assert member({}, "run_id") is None


RUN = vars(dag_run())


@pytest.mark.parametrize(
    "run",
    [
        dag_run(),
        RUN,
        {**RUN, "start_date": "2026-07-02T00:02:58.800000Z", "run_after": "2026-07-02T02:02:58.800000+02:00"},
        dag_run(start_date=pendulum.instance(STARTED), end_date=pendulum.instance(ENDED).in_timezone("Asia/Tokyo")),
    ],
    ids=["object", "mapping", "mapping of texts", "pendulum"],
)
def test_an_ending_is_read_from_whatever_a_dag_run_is(run: Any) -> None:
    """Objects, mappings, texts and pendulum's times say the same."""
    tasks = (TaskInstance(task_id="a", state="failed"),)
    ending = ending_of(run, state="failed", reason="timed_out", task_instances=tasks, result=Result(value=7))
    assert (ending.dag_id, ending.run_id, ending.state, ending.reason) == (
        "sales_report",
        "ext__1",
        "failed",
        "timed_out",
    )
    assert (ending.logical_date, ending.run_after, ending.start_date, ending.end_date) == (
        None,
        STARTED,
        STARTED,
        ENDED,
    )
    assert ending.task_instances == tasks
    assert ending.result == Result(value=7)


def test_a_dag_run_that_knows_no_times_has_none() -> None:
    """Nothing is made up."""
    ending = ending_of({"dag_id": "d", "run_id": "r"}, state="success", reason=None, result=Result())
    assert (ending.start_date, ending.end_date, ending.run_after, ending.logical_date) == (None, None, None, None)


def test_lazy_sequences_are_fetched_at_any_depth() -> None:
    """A mapped task's values become a list that can be encoded, each fetched once."""
    lazy = Lazy(1, Lazy("a", "b"), {"x": Lazy()})
    value = materialised({"all": lazy, "one": (1, 2)})
    assert value == {"all": [1, ["a", "b"], {"x": []}], "one": [1, 2]}
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("value", [None, 7, 1.5, True, "text", "", b"bytes", bytearray(b"x"), {1, 2}, object])
def test_what_is_no_sequence_stays_as_it_is(value: Any) -> None:
    """Above all a text is not taken apart."""
    assert materialised(value) is value


def test_containers_become_plain() -> None:
    """What Airflow or a user wraps is told as JSON's own kinds."""
    Point = namedtuple("Point", "x y")
    assert materialised([Point(1, 2), OrderedDict(a=range(2))]) == [[1, 2], {"a": [0, 1]}]


def test_times_become_plain() -> None:
    """A pendulum time in a result is a datetime, as the encoder wants it."""
    plain = materialised([pendulum.datetime(2026, 7, 2, 1, 2, 3, 4, tz="UTC")])[0]
    assert type(plain) is datetime
    assert plain == datetime(2026, 7, 2, 1, 2, 3, 4, tzinfo=timezone.utc)


class FakeTi:
    run_id = "ext__1"

    def __init__(self, **xcoms: Any) -> None:
        self._xcoms = xcoms
        self.pulled: list[str] = []

    def xcom_pull(self, *, task_ids: str) -> Any:
        self.pulled.append(task_ids)
        return self._xcoms[task_ids]


def fake_dag(**declares: bool | None) -> Any:
    tasks = []
    for task_id, declared in declares.items():
        task = SimpleNamespace(task_id=task_id)
        if declared is not None:
            task.returns_dag_result = declared
        tasks.append(task)
    return SimpleNamespace(dag_id="sales_report", tasks=tasks)


def test_a_dag_that_declares_no_result_has_none_and_nothing_is_pulled() -> None:
    """Where Airflow does not know results of DAGs yet, tasks lack the attribute."""
    ti = FakeTi()
    assert declared_result(fake_dag(a=None, b=False), ti, SITE) == Result()
    assert ti.pulled == []


def test_one_declaring_task_gives_its_value_and_where_to_fetch_it() -> None:
    """As Airflow's wait endpoint has it."""
    result = declared_result(fake_dag(a=False, b=True), FakeTi(b=Lazy(1, 2)), SITE)
    assert result.value == [1, 2]
    assert result.fetch_url == SITE.xcom_url("sales_report", "ext__1", "b", "return_value")


def test_several_declaring_tasks_give_an_object_by_task_id() -> None:
    """There is no one address for all of them."""
    result = declared_result(fake_dag(b=True, c=None, a=True), FakeTi(a=1, b=None), SITE)
    assert result == Result(value={"a": 1, "b": None})


def test_a_result_declared_by_the_sdk_is_found() -> None:
    """The real attribute is where the notifier looks for it."""
    with DAG("sales_report") as dag:
        task = BaseOperator(task_id="report")
        BaseOperator(task_id="other")
    dag.add_result(task.output)
    assert declared_result(dag, FakeTi(report={"rows": 7}), SITE).value == {"rows": 7}


def test_an_xcom_argument_knows_where_it_comes_from() -> None:
    """Before it is rendered, the XComArg of one task names the address of its value."""
    with DAG("sales_report"):
        task = BaseOperator(task_id="report")
    assert xcom_source(task.output, "sales_report", "r", SITE) == SITE.xcom_url(
        "sales_report", "r", "report", "return_value"
    )
    assert xcom_source(task.output["rows"], "sales_report", "r", SITE) == SITE.xcom_url(
        "sales_report", "r", "report", "rows"
    )


@pytest.mark.parametrize("value", [None, 7, "{{ ti.xcom_pull('a') }}", {"a": 1}, [1]])
def test_anything_else_comes_from_nowhere(value: Any) -> None:
    """A literal or a template has no address."""
    assert xcom_source(value, "d", "r", SITE) is None


def test_a_mapped_or_combined_xcom_argument_comes_from_nowhere() -> None:
    """What is computed from XComs is not served anywhere."""
    with DAG("sales_report"):
        a, b = BaseOperator(task_id="a"), BaseOperator(task_id="b")
    assert xcom_source(a.output.map(str), "d", "r", SITE) is None
    assert xcom_source(a.output.zip(b.output), "d", "r", SITE) is None


def test_task_shapes_hold_what_the_leaf_rule_needs() -> None:
    """Downstream tasks, teardowns, and whether a teardown's failure counts."""
    with DAG("d") as dag:
        s = BaseOperator(task_id="s").as_setup()
        w = BaseOperator(task_id="w")
        t = BaseOperator(task_id="t").as_teardown(setups=s)
        u = BaseOperator(task_id="u").as_teardown(on_failure_fail_dagrun=True)
        s >> w >> [t, u]
    assert task_shapes(dag) == {
        "s": TaskShape(downstream=frozenset({"w", "t"})),
        "w": TaskShape(downstream=frozenset({"t", "u"})),
        "t": TaskShape(downstream=frozenset(), is_teardown=True),
        "u": TaskShape(downstream=frozenset(), is_teardown=True, on_failure_fail_dagrun=True),
    }


def load(name: str, how: str) -> Any:
    return load_destination(name) if how == "sync" else asyncio.run(aload_destination(name))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for Airflow's connections, both ways of asking."""
    known: dict[str, Any] = {}

    def get(conn_id: str) -> Any:
        if conn_id not in known:
            raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")
        return known[conn_id]

    async def async_get(conn_id: str) -> Any:
        return get(conn_id)

    monkeypatch.setattr(Connection, "get", get)
    monkeypatch.setattr(Connection, "async_get", async_get)
    return known


def test_an_older_sdk_is_asked_in_a_thread(connections: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Task SDK 1.0 has no asynchronous look-up; the event loop is not held up all the same."""
    monkeypatch.delattr(Connection, "async_get")
    asked: list[threading.Thread] = []
    get = Connection.get
    monkeypatch.setattr(Connection, "get", lambda conn_id: (asked.append(threading.current_thread()), get(conn_id))[1])
    with pytest.raises(DestinationMissing, match="there is no Airflow connection ringback_portal"):
        asyncio.run(aload_destination("portal"))
    assert asked[0] is not threading.main_thread()


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_destination_is_looked_up_under_its_name(connections: dict[str, Any], how: str) -> None:
    """The connection's id has the prefix, so conf can name no foreign connection."""
    connections["ringback_portal"] = Connection(
        conn_id="ringback_portal",
        conn_type="ringback",
        password=PRIVATE.reveal(),
        extra='{"allow": "https://portal.example/"}',
    )
    found = load("portal", how)
    assert (found.name, len(found.keys), len(found.allow)) == ("portal", 1, 1)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_missing_connection_says_how_to_make_it(connections: dict[str, Any], how: str) -> None:
    """The error names the id that was looked for."""
    with pytest.raises(
        DestinationMissing, match=r"^there is no Airflow connection ringback_portal; `ringback keys new`"
    ):
        load("portal", how)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_connection_of_another_type_is_refused(connections: dict[str, Any], how: str) -> None:
    """A password that is no key never signs."""
    connections["ringback_portal"] = Connection(conn_id="ringback_portal", conn_type="http", password="hush")
    with pytest.raises(DestinationError, match="its type is 'http'"):
        load("portal", how)


def test_a_connection_in_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real look-up, in the form that the documentation shows."""
    connection = {
        "conn_type": "ringback",
        "password": PRIVATE.reveal(),
        "extra": {"allow": ["https://portal.example/"]},
    }
    monkeypatch.setenv("AIRFLOW_CONN_RINGBACK_ENVIRONMENT", json.dumps(connection))
    assert len(load_destination("environment").allow) == 1
