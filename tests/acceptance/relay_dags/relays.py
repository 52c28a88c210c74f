"""A relay as a DAG, a relay in the triggerer, and a job that knows of neither."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task

from ringback_notifier import relay_dag, relay_watcher_dag

relay_dag()
relay_watcher_dag(is_paused_upon_creation=True)

with DAG("untouched", schedule=None, params={"seconds": Param(0, type="number")}):

    @task
    def work(params: dict) -> None:
        time.sleep(params["seconds"])

    work()
