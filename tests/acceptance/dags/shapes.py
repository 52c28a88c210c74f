"""Graphs whose final state is not obvious: what the final task predicts must be what Airflow decides."""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from ringback_notifier import notify_completion


@task
def good() -> int:
    return 1


@task
def bad() -> None:
    raise ValueError("on purpose")


@task
def skipped() -> None:
    raise AirflowSkipException


@task(trigger_rule="all_done")
def always() -> None:
    pass


@task
def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError("odd")
    return number


@task
def nothing() -> list[int]:
    return []


def shape(name: str, **arguments: object) -> DAG:
    return DAG(f"shape_{name}", schedule=None, tags=["shape"], **arguments)


with shape("failure_below_good_leaf"):
    # The failed task is no leaf, and its only downstream ends well: Airflow says success.
    bad() >> always()
    notify_completion()

with shape("upstream_failed"):
    bad() >> good()
    notify_completion()

with shape("one_of_two_leaves_fails"):
    good() >> [bad(), good.override(task_id="other")()]
    notify_completion()

with shape("all_skipped"):
    skipped() >> good()
    notify_completion()

with shape("partly_failed_mapping"):
    notify_completion(result=odd_fails.expand(number=[0, 1, 2]))

with shape("empty_mapping"):
    odd_fails.expand(number=nothing())
    notify_completion()

with shape("groups"):
    with TaskGroup("outer"), TaskGroup("inner"):
        good() >> bad()
    with TaskGroup("other"):
        good()
        # Called inside a group: the task still goes to the root of the DAG.
        notify_completion()

with shape("mapped_group"):

    @task_group
    def each(number: int) -> None:
        odd_fails(number)

    each.expand(number=[0, 1])
    notify_completion()

with shape("failing_teardown_of_the_users"):
    s, w, t = good.override(task_id="set_up")(), good(), bad.override(task_id="tear_down")()
    s >> w >> t.as_teardown(setups=s)
    notify_completion()

with shape("failing_teardown_that_counts"):
    s, w, t = good.override(task_id="set_up")(), good(), bad.override(task_id="tear_down")()
    s >> w >> t.as_teardown(setups=s, on_failure_fail_dagrun=True)
    notify_completion()

with shape("failure_masked_by_teardown_that_counts"):
    s, w, t = good.override(task_id="set_up")(), bad(), good.override(task_id="tear_down")()
    s >> w >> t.as_teardown(setups=s, on_failure_fail_dagrun=True)
    notify_completion()

with shape("failing_setup"):
    s, w, t = bad.override(task_id="set_up")(), good(), good.override(task_id="tear_down")()
    s >> w >> t.as_teardown(setups=s)
    notify_completion()

with shape("fail_fast", fail_fast=True):
    bad()
    good() >> good.override(task_id="after")()
    notify_completion()

with shape("nothing_else"):
    notify_completion(result="{{ run_id }}")

with shape("hostile_default_args", default_args={"retries": 0, "depends_on_past": True, "trigger_rule": "all_success"}):
    bad()
    notify_completion(result={"now": "{{ ts_nodash | default('never') }}", "list": [1, None, True]})
