"""The final task in real DAGs, which are built and serialised but not run."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule, result, task, task_group
from airflow.serialization.serialized_objects import DagSerialization

from ringback_notifier import NotifyCompletionOperator, notify_completion
from ringback_notifier._context import task_shapes
from ringback_notifier._prediction import effective_leaves
from ringback_notifier._retry import RetryAfterPolicy

OWN = "ringback_notify"


def make_dag(**arguments: Any) -> DAG:
    return DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), **arguments)


@task
def work(value: Any = None) -> Any:
    return value


@task
def numbers() -> list[int]:
    return [1, 2, 3]


def check(dag: DAG) -> NotifyCompletionOperator:
    """Check what holds in every DAG, and return the final task."""
    final = dag.get_task(OWN)
    assert isinstance(final, NotifyCompletionOperator)
    assert final.is_teardown
    assert final.trigger_rule == TriggerRule.ALL_DONE_SETUP_SUCCESS
    assert final.on_failure_fail_dagrun is False
    assert final.downstream_task_ids == set()
    assert set(dag.task_dict) - {OWN} == final.get_flat_relative_ids(upstream=True)
    assert [task.task_id for task in dag.tasks if not task.downstream_task_ids] == [OWN]
    before = {task_id: shape for task_id, shape in task_shapes(dag).items() if task_id != OWN}
    if any(not shape.ignorable for shape in before.values()):
        assert effective_leaves(before) == effective_leaves(task_shapes(dag))
    dag.validate()
    dag.validate_setup_teardown()
    dag.check_cycle()
    serialized = DagSerialization.to_dict(dag)
    read = DagSerialization.from_dict(serialized).get_task(OWN)
    assert read.is_teardown
    assert not read.on_failure_fail_dagrun
    return final


def test_a_plain_dag() -> None:
    """The final task comes after every task that nothing else comes after."""
    with make_dag() as dag:
        a, b, c, d = (BaseOperator(task_id=name) for name in "abcd")
        a >> [b, c]
        b >> d
        made = notify_completion()
    assert check(dag) is made
    assert made.upstream_task_ids == {"c", "d"}


def test_independent_tasks() -> None:
    """Each is a leaf."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        BaseOperator(task_id="b")
        notify_completion()
    assert check(dag).upstream_task_ids == {"a", "b"}


def test_an_empty_dag() -> None:
    """A DAG without work still rings."""
    with make_dag() as dag:
        notify_completion()
    assert check(dag).upstream_task_ids == set()


def test_task_groups() -> None:
    """Leaves inside groups, nested too, and a group's followers."""
    with make_dag() as dag:
        with TaskGroup("g"):
            BaseOperator(task_id="a")
            with TaskGroup("h"):
                BaseOperator(task_id="b") >> BaseOperator(task_id="c")
        with TaskGroup("i") as followed:
            BaseOperator(task_id="d")
        followed >> BaseOperator(task_id="e")
        notify_completion()
    assert check(dag).upstream_task_ids == {"g.a", "g.h.c", "e"}


def test_an_empty_task_group() -> None:
    """It has no task, and so no leaf."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        with TaskGroup("g"):
            pass
        notify_completion()
    assert check(dag).upstream_task_ids == {"a"}


def test_mapped_tasks() -> None:
    """A mapped leaf is one upstream, whatever it expands to."""
    with make_dag() as dag:
        work.expand(value=numbers())
        work.override(task_id="other").expand(value=[])
        notify_completion()
    assert check(dag).upstream_task_ids == {"work", "other"}


def test_mapped_task_groups() -> None:
    """The final task waits for all of a mapped group and is not mapped itself."""
    with make_dag() as dag:

        @task_group
        def each(value: int) -> None:
            work.override(task_id="first")(value) >> work.override(task_id="second")(value)

        each.expand(value=numbers())
        notify_completion()
    final = check(dag)
    assert final.upstream_task_ids == {"each.second"}
    assert final.get_closest_mapped_task_group() is None


def test_branches_and_skips() -> None:
    """A branch that is not taken is an upstream like any other."""
    with make_dag() as dag:

        @task.branch
        def choose() -> str:
            return "left"

        choose() >> [BaseOperator(task_id="left"), BaseOperator(task_id="right")]
        notify_completion()
    assert check(dag).upstream_task_ids == {"left", "right"}


def test_setups_and_teardowns() -> None:
    """It follows other teardowns too, so that it is the very last."""
    with make_dag() as dag:
        s, w, t, x = (BaseOperator(task_id=name) for name in "swtx")
        s >> w >> t.as_teardown(setups=s)
        w >> x
        notify_completion()
    final = check(dag)
    assert final.upstream_task_ids == {"t", "x"}
    assert {name for name, task in dag.task_dict.items() if task.is_setup} == {"s"}


def test_a_teardown_that_decides() -> None:
    """A user's teardown that may fail the run keeps that right, and ours never takes it."""
    with make_dag() as dag:
        w, t = BaseOperator(task_id="w"), BaseOperator(task_id="t").as_teardown(on_failure_fail_dagrun=True)
        w >> t
        notify_completion()
    check(dag)
    assert effective_leaves(task_shapes(dag)) == {"t"}


def test_only_teardowns() -> None:
    """A DAG of nothing but teardowns is the one in which our task's state counts."""
    with make_dag() as dag:
        BaseOperator(task_id="t").as_teardown()
        notify_completion()
    check(dag)
    assert effective_leaves(task_shapes(dag)) == {OWN}


def test_called_inside_a_task_group_it_ends_at_the_root() -> None:
    """The group gets neither the task nor its prefix."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        with TaskGroup("g"), TaskGroup("h"):
            BaseOperator(task_id="b")
            final = notify_completion()
    check(dag)
    assert final.task_id == OWN
    assert final.task_group is dag.task_group
    assert final.upstream_task_ids == {"a", "g.h.b"}


def test_given_a_dag_it_needs_no_context() -> None:
    """For code that builds DAGs in functions."""
    dag = make_dag()
    BaseOperator(task_id="a", dag=dag)
    notify_completion(dag=dag)
    assert check(dag).upstream_task_ids == {"a"}


def test_given_a_dag_inside_another_it_takes_the_given_one() -> None:
    """An explicit argument wins."""
    given = make_dag()
    with DAG("other", schedule=None) as other:
        notify_completion(dag=given)
    assert OWN in given.task_dict
    assert not other.task_dict


@pytest.mark.parametrize("task_id", [OWN, "mine"])
def test_twice_is_an_error_that_says_so(task_id: str) -> None:
    """The second call would leave the first one's task in the middle."""
    with make_dag():
        notify_completion(task_id=task_id)
        with pytest.raises(ValueError, match=f"^DAG 'd' has a task '{task_id}' already: call notify_completion"):
            notify_completion(task_id=task_id)


def test_outside_a_dag_is_an_error_that_says_so() -> None:
    """There is nothing to add a task to."""
    with pytest.raises(ValueError, match=r"must be called inside a DAG, or be given one: notify_completion\(dag=…\)"):
        notify_completion()


def test_a_result_makes_its_task_an_upstream_and_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The result's task need not be a leaf; where it is one, it is linked only once."""
    with make_dag() as dag, caplog.at_level(logging.WARNING):
        first = work.override(task_id="first")()
        work.override(task_id="second")(first)
        notify_completion({"first": first, "rows": dag.get_task("second").output["rows"]})
    assert check(dag).upstream_task_ids == {"first", "second"}
    assert caplog.records == []


@pytest.mark.parametrize("value", [None, 7, "{{ run_id }}", {"a": ["{{ ds }}"]}, [1, None], "text"])
def test_a_literal_result_survives_serialisation(value: Any) -> None:
    """Any JSON value will do."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        notify_completion(value)
    assert check(dag).result == value


def test_a_result_that_the_dag_declares_needs_nothing() -> None:
    """The decorator comes from Airflow itself."""
    with make_dag() as dag:

        @result
        @task
        def report() -> int:
            return 1

        report()
        notify_completion()
    assert check(dag).result is None


def test_default_args_are_for_the_work() -> None:
    """What a DAG sets for its tasks does not make its last task wait, give up or count."""
    with make_dag(
        default_args={
            "retries": 0,
            "retry_delay": timedelta(hours=3),
            "max_retry_delay": timedelta(days=1),
            "retry_exponential_backoff": False,
            "retry_policy": None,
            "execution_timeout": timedelta(seconds=1),
            "depends_on_past": True,
            "wait_for_downstream": True,
            "do_xcom_push": False,
            "trigger_rule": "one_failed",
            "task_id": "stolen",
            "result": "stolen",
        }
    ) as dag:
        a = BaseOperator(task_id="a")
        notify_completion()
    final = check(dag)
    assert a.depends_on_past
    assert a.trigger_rule == "one_failed"
    assert (final.retries, final.retry_delay, final.max_retry_delay) == (4, timedelta(seconds=5), timedelta(minutes=2))
    assert final.retry_exponential_backoff == 2.0
    assert isinstance(final.retry_policy, RetryAfterPolicy)
    assert final.execution_timeout == timedelta(minutes=2)
    assert (final.depends_on_past, final.wait_for_downstream, final.do_xcom_push) == (False, False, True)
    assert final.result is None


def test_task_arguments_reach_the_task() -> None:
    """What the author sets on this very task counts."""
    with make_dag() as dag:
        notify_completion(retries=1, pool="callbacks", retry_policy=None, execution_timeout=timedelta(minutes=1))
    final = check(dag)
    assert (final.retries, final.pool, final.retry_policy) == (1, "callbacks", None)
    assert final.execution_timeout == timedelta(minutes=1)


def test_the_task_can_be_named() -> None:
    """For a DAG that has a task of the usual name."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        notify_completion(task_id="ring")
    assert dag.get_task("ring").upstream_task_ids == {"a"}


def test_a_dag_that_fails_fast_is_accepted() -> None:
    """Such DAGs refuse tasks with other trigger rules, except teardowns."""
    with make_dag(fail_fast=True) as dag:
        BaseOperator(task_id="a") >> BaseOperator(task_id="b")
        notify_completion()
    assert check(dag).upstream_task_ids == {"b"}


def test_tasks_defined_later_are_strays() -> None:
    """They are not linked; running says so, see the tests of what it does."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        final = notify_completion()
        BaseOperator(task_id="late")
    assert "late" not in final.get_flat_relative_ids(upstream=True)
    assert "late" in dag.task_dict


def test_the_dag_is_serialised_with_its_retry_policy() -> None:
    """The scheduler learns that there is a policy, which only the worker evaluates."""
    with make_dag() as dag:
        BaseOperator(task_id="a")
        notify_completion()
    check(dag)
    (encoded,) = [
        one["__var"] for one in DagSerialization.to_dict(dag)["dag"]["tasks"] if one["__var"]["task_id"] == OWN
    ]
    assert encoded["has_retry_policy"] is True
    assert encoded["is_teardown"] is True
    assert "on_failure_fail_dagrun" not in encoded or encoded["on_failure_fail_dagrun"] is False


def test_serialising_is_stable() -> None:
    """Two parses of one file give one version of the DAG."""

    def parse() -> Any:
        with make_dag() as dag:
            value = work()
            notify_completion({"value": value})
        return DagSerialization.to_dict(dag)

    assert parse() == parse()
