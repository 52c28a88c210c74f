"""DAGs for every way in which a run can end."""

from __future__ import annotations

import time
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from ringback_notifier import CompletionNotifier, notify_completion

ring_back = CompletionNotifier()
CALLBACKS = {"on_success_callback": ring_back, "on_failure_callback": ring_back}
PARAMS = {
    "seconds": Param(0, type="number"),
    "fail": Param(False, type="boolean"),
    "skip": Param(False, type="boolean"),
}


@task
def work(params: dict) -> None:
    time.sleep(params["seconds"])
    if params["skip"]:
        raise AirflowSkipException
    if params["fail"]:
        raise ValueError("on purpose")


with DAG("ending_both", schedule=None, params=PARAMS, **CALLBACKS):
    work()
    notify_completion()

with DAG("ending_callback", schedule=None, params=PARAMS, **CALLBACKS):
    work()

with DAG("ending_timeout", schedule=None, params=PARAMS, dagrun_timeout=timedelta(seconds=4), **CALLBACKS):
    work()
    notify_completion()

with DAG("ending_empty", schedule=None, **CALLBACKS):
    pass

with DAG(
    "ending_backfill",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    params=PARAMS,
    **CALLBACKS,
):
    work()
    notify_completion()
